package source

import "github.com/go-zookeeper/zk"

// StaleAfter is what is read again of a service after an event, when all was read before: the list of its nodes, its settings, and nodes.
func StaleAfter(event zk.EventType, path, folderPath, settings string) (listed, said bool, old []string) {
	z := NewZooKeepers(ZooKeeperOptions{})
	f := &folder{old: map[string]bool{}, wake: make(chan struct{}, 1)}
	z.folders.add(folderPath, f)
	if settings != "" {
		z.settingsOf.add(settings, f)
	}
	z.changed(event, path)
	for name := range f.old {
		old = append(old, name)
	}
	return f.what >= list, f.said, old
}
