package probe

import (
	"sync"

	smartgo "github.com/anatol/smart.go"
)

// Names are what a model calls its SMART attributes, by id, in smartmontools' words. Without names it is not
// known what an attribute counts, and Err says why there are none.
type Names struct {
	Of  map[uint8]string
	Err error
}

// NamesFunc reads the names of the attributes of the disk at a path.
type NamesFunc func(path string) (map[uint8]string, error)

// AttributeNames asks smart.go, which knows smartmontools' drive database. It costs milliseconds and megabytes of
// garbage, because each expression of the database is compiled for it.
func AttributeNames(path string) (map[uint8]string, error) {
	dev, err := smartgo.OpenSata(path)
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	page, err := dev.ReadSMARTData()
	if err != nil {
		return nil, err
	}
	out := make(map[uint8]string, len(page.Attrs))
	for id, a := range page.Attrs {
		out[id] = a.Name
	}
	return out, nil
}

// namesOfModels remembers names by model and firmware. A failure is not remembered. The zero value is ready.
type namesOfModels struct {
	mu    sync.Mutex
	known map[string]map[uint8]string
}

// modelsKept bounds the memory; a host has few models.
const modelsKept = 256

func (n *namesOfModels) of(model string, read NamesFunc, path string) Names {
	n.mu.Lock()
	known := n.known[model]
	n.mu.Unlock()
	if known != nil {
		return Names{Of: known}
	}
	if read == nil {
		read = AttributeNames
	}
	names, err := read(path) // two disks of one model may do it at the same time; the result is the same
	if err != nil {
		return Names{Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= modelsKept {
		n.known = map[string]map[uint8]string{}
	}
	n.known[model] = names
	return Names{Of: names}
}
