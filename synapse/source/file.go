package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"glia/synapse/service"
)

// File is a JSON list of backends, in the format of synapse's file output; host and port are needed. It is read again every second.
type File string

var _ Source = File("")

// Run tells what the file says.
func (f File) Run(ctx context.Context, tell func(Observation)) {
	var last os.FileInfo
	var said Observation
	poll(ctx, time.Second, tell, func(context.Context) Observation {
		info, err := os.Stat(string(f))
		if err == nil && last != nil && os.SameFile(info, last) && info.ModTime().Equal(last.ModTime()) && info.Size() == last.Size() {
			return said
		}
		last = info
		var data []byte
		if err == nil {
			data, err = os.ReadFile(string(f))
		}
		if err != nil {
			last, said = nil, Observation{Err: fmt.Errorf("file of backends: %w", err)}
			return said
		}
		said = DecodeFile(data)
		return said
	})
}

// DecodeFile reads such a file.
func DecodeFile(data []byte) Observation {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil || raw == nil {
		return Observation{Err: errors.Join(errors.New("file of backends: want a JSON list"), err)}
	}
	var o Observation
	for i, r := range raw {
		var b service.Backend
		err := json.Unmarshal(r, &b)
		if err == nil && (b.Host == "" || b.Port < 1 || b.Port > 65535) {
			err = fmt.Errorf("host %q and port %d can not be connected to", b.Host, b.Port)
		}
		if err != nil {
			o.Skipped = append(o.Skipped, fmt.Sprintf("backend %d: %v", i+1, err))
			continue
		}
		o.Backends = append(o.Backends, b)
	}
	return o
}
