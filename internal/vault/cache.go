package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"glia/config/secret"
)

// cached is the file of secrets.
type cached struct {
	Address string        `json:"address"` // of the Vault that said it; another one's is not used
	Secrets []cachedEntry `json:"secrets"`
}

type cachedEntry struct {
	Path  string    `json:"path"`
	Key   string    `json:"key"`
	Value string    `json:"value"`
	At    time.Time `json:"at"`
}

func (k *Keeper) cacheFile() string { return filepath.Join(k.Dir, "secrets.json") }

// makeDir makes the folder, and refuses one that others may enter.
func (k *Keeper) makeDir() error {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(k.Dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("everybody on this host may enter %s (mode %04o): run chmod 0700 %s", k.Dir, info.Mode().Perm(), k.Dir)
	}
	return nil
}

// loadCache takes what was kept and is still wanted and young enough.
func (k *Keeper) loadCache() error {
	b, err := secret.ReadFile(k.cacheFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := decodeCache(b)
	if err != nil {
		return fmt.Errorf("%s: %w", k.cacheFile(), err)
	}
	if entries.Address != k.Address {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.Secrets {
		for _, e := range entries.Secrets {
			age := k.Now().Sub(e.At)
			if e.Path == n.Path && e.Key == n.Key && e.Value != "" && age <= k.Keep && age > -k.Keep {
				k.known[n] = entry{secret.Of(e.Value), e.At}
			}
		}
	}
	return nil
}

// decodeCache reads the file of secrets. Its errors quote nothing of it.
func decodeCache(b []byte) (c cached, err error) {
	if json.Unmarshal(b, &c) != nil {
		return cached{}, errors.New("is no file of kept secrets")
	}
	return c, nil
}

// saveCache keeps what was read, in the place of what was kept.
func (k *Keeper) saveCache(found map[Name]entry) error {
	c := cached{Address: k.Address}
	for _, n := range k.Secrets {
		e := found[n]
		c.Secrets = append(c.Secrets, cachedEntry{n.Path, n.Key, e.value.Reveal(), e.at})
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(k.cacheFile(), append(b, '\n'))
}

// writeFile replaces a file at once, for us alone whatever the umask says.
func writeFile(path string, data []byte) error {
	return renameio.WriteFile(path, data, 0o600, renameio.IgnoreUmask())
}
