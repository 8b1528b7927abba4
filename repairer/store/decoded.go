package store

import (
	"encoding/json"
	"sync"

	"glia/repairer"
)

// keepDecoded bounds the rows that are kept: those of the cases that something happens to at this time.
const keepDecoded = 64

// decoded keeps what rows of cases say, by their text: each is read several times until its case goes on. No
// case is ever changed, see repairer.Apply, so one may be given out often. It is safe for concurrent use.
type decoded struct {
	mu    sync.Mutex
	cases map[string]repairer.Case
}

func (d *decoded) decode(doc string) (repairer.Case, error) {
	d.mu.Lock()
	c, ok := d.cases[doc]
	d.mu.Unlock()
	if ok {
		return c, nil
	}
	if err := json.Unmarshal([]byte(doc), &c); err != nil {
		return c, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cases == nil || len(d.cases) >= keepDecoded {
		d.cases = map[string]repairer.Case{}
	}
	d.cases[doc] = c
	return c, nil
}
