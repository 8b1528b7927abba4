package synapsed

import "context"

// part is something that runs: an output, a session with a registry, or what follows services.
type part struct {
	is  any // what it is, for those who use it
	run func(context.Context) error

	stop  context.CancelFunc // nil until it was started
	ended chan struct{}
}

// parts are those that are there, by what they are made of: what is made of the same goes on.
type parts map[string]*part

// start starts those that do not run.
func (p parts) start(ctx context.Context) {
	for _, x := range p {
		if x.stop != nil {
			continue
		}
		own, stop := context.WithCancel(ctx)
		x.stop, x.ended = stop, make(chan struct{})
		go func() {
			defer close(x.ended)
			_ = x.run(own) // ends with its context, and never by an error
		}()
	}
}

// end stops those that later ones do not have, and waits until they have ended.
func (p parts) end(later parts) {
	for key, x := range p {
		if later[key] == x || x.stop == nil {
			continue
		}
		x.stop()
		<-x.ended
	}
}
