package secret

import (
	"os"
	"sync"
)

// taken are the variables that were taken out of the environment of this process.
var taken = struct {
	sync.Mutex
	values map[string]Value
}{values: map[string]Value{}}

// TakeEnvironment takes the variables that a configuration names as secrets out of the environment, so that no command that this
// process starts gets them. References to them can be read on.
func TakeEnvironment(config any) {
	taken.Lock()
	defer taken.Unlock()
	for _, r := range Refs(config) {
		if r.scheme != schemeEnv {
			continue
		}
		if text, ok := os.LookupEnv(r.name); ok {
			taken.values[r.name] = Of(text)
			_ = os.Unsetenv(r.name) // it fails for names that Parse refuses
		}
	}
}

// variable is one of the environment, taken or not.
func variable(name string) (string, bool) {
	if text, ok := os.LookupEnv(name); ok {
		return text, true
	}
	taken.Lock()
	defer taken.Unlock()
	v, ok := taken.values[name]
	return v.Reveal(), ok
}
