package vault_test

import (
	"strings"
	"testing"

	"glia/internal/vault"
)

func FuzzDecodeCache(f *testing.F) {
	f.Add([]byte(`{"address":"https://v","secrets":[{"path":"kv/data/glia","key":"k","value":"canary","at":"2026-01-02T03:04:05Z"}]}`))
	f.Add([]byte(`{"secrets":[{"path":"canary`))
	f.Add([]byte(`{"secrets":"canary"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := vault.DecodeCache(b); err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error quotes the file: %v", err)
		}
	})
}
