package consul

import (
	"context"
	"encoding/json"
	"fmt"

	"glia/registry"
)

var _ registry.Observer = (*Elector)(nil)

// Leader is part of registry.Observer. The read is a consistent one, which the leading server answers after it has
// made sure of its quorum.
func (e *Elector) Leader(ctx context.Context) (registry.Leader, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	kv, _, err := e.api.KV().Get(e.lock, e.read(ctx))
	if err != nil {
		return registry.Leader{}, fmt.Errorf("ask consul who leads: %w", e.explain(err))
	}
	if kv == nil {
		return registry.Leader{}, nil // nobody stood in it yet
	}
	var last value
	if err := json.Unmarshal(kv.Value, &last); err != nil {
		return registry.Leader{}, fmt.Errorf("ask consul who leads: the newest epoch in key %s: %w", e.lock, err)
	}
	if kv.Session == "" {
		last.Holder = ""
	}
	return registry.Leader{Holder: last.Holder, Epoch: last.Epoch}, nil
}
