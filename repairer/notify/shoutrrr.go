package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"glia/config/secret"
)

// Shoutrrr tells one of the services that shoutrrr knows: mail, Teams, Discord, Mattermost, PagerDuty and others.
type Shoutrrr struct {
	address secret.Value // with passwords and tokens in it
	router  *router.ServiceRouter
	busy    chan struct{} // holds one while a message is on its way
}

var _ Sink = (*Shoutrrr)(nil)

// NewShoutrrr makes the sink of an address as shoutrrr writes them. The error does not show it.
func NewShoutrrr(address secret.Value) (*Shoutrrr, error) {
	r, err := shoutrrr.CreateSender(address.Reveal())
	if err != nil {
		return nil, errors.New("the address is none that shoutrrr knows, such as smtp://user:password@host:587/?from=glia@example.org&to=storage@example.org")
	}
	return &Shoutrrr{address: address, router: r, busy: make(chan struct{}, 1)}, nil
}

// Tell is part of Sink. The library knows no deadline: while a message hangs no other one is sent.
func (s *Shoutrrr) Tell(ctx context.Context, notices []Notice, skipped int, threads Threads) (Threads, error) {
	select {
	case s.busy <- struct{}{}:
	default:
		return threads, errors.New("the message before has not been taken yet")
	}
	answers := make(chan []error, 1)
	go func() {
		defer func() { <-s.busy }()
		answers <- s.router.Send(text(notices, skipped), &types.Params{"title": title(notices)})
	}()
	select {
	case <-ctx.Done():
		return threads, errors.New("the message was not taken in time")
	case errs := <-answers:
		for _, err := range errs {
			if err != nil {
				return threads, errors.New(hideAddress(clean(err), s.address.Reveal()))
			}
		}
		return threads, nil
	}
}

var addresses = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"']*`)

// clean is an error in one line, without the addresses that libraries quote: secrets are in those of webhooks.
func clean(err error) string {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	return strings.Join(strings.Fields(addresses.ReplaceAllString(err.Error(), "(address)")), " ")
}

// hideAddress takes the parts of an address out of a text that can be secrets.
func hideAddress(text, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the message was not taken"
	}
	parts := strings.Split(u.Path, "/")
	if p, ok := u.User.Password(); ok {
		parts = append(parts, p)
	}
	if u.User != nil {
		parts = append(parts, u.User.Username())
	}
	for key, values := range u.Query() {
		if key != "to" && key != "from" && key != "title" {
			parts = append(parts, values...)
		}
	}
	for _, p := range parts {
		const short = 6 // words such as "yes" are no secrets
		if len(p) >= short {
			text = strings.ReplaceAll(text, p, "(secret)")
			text = strings.ReplaceAll(text, url.QueryEscape(p), "(secret)")
		}
	}
	return fmt.Sprintf("%.300s", text)
}
