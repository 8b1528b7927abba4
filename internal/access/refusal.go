package access

import (
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

// refusal says why a call is not made, and what would change that.
type refusal struct {
	reason string // for the count: role, repairer, rate, streams, size, method, verb
	code   connect.Code
	words  string
	limit  string
	until  string
	status int // of HTTP, for what can not be answered as a call; 0 otherwise
}

// err is the refusal as an error of the call.
func (r refusal) err() error {
	err := connect.NewError(r.code, errors.New(r.words+"; allowed when "+r.until))
	if d, bad := connect.NewErrorDetail(&gliav1.Refusal{Gate: r.reason, Value: r.words, Limit: r.limit, Until: r.until}); bad == nil {
		err.AddDetail(d)
	}
	return err
}

func denied(reason, words, limit, until string) *refusal {
	return &refusal{reason: reason, code: connect.CodePermissionDenied, words: words, limit: limit, until: until}
}

func (g *Guard) tooMany(c *call) *refusal {
	return &refusal{
		reason: "rate", code: connect.CodeResourceExhausted, words: fmt.Sprintf("%s calls more than %d times a second", c.who, g.Access.Requests),
		limit: fmt.Sprint(g.Access.Requests), until: "a moment has passed, or requests in [access] of " + g.Program + ".toml is raised",
	}
}

func (g *Guard) tooManyStreams(c *call) *refusal {
	return &refusal{
		reason: "streams", code: connect.CodeResourceExhausted, words: fmt.Sprintf("%s has %d streams open", c.who, g.Access.Streams),
		limit: fmt.Sprint(g.Access.Streams), until: "one of them ends, or streams in [access] of " + g.Program + ".toml is raised",
	}
}

func tooLarge(c *call, size int64) *refusal {
	return &refusal{
		reason: "size", code: connect.CodeResourceExhausted, words: fmt.Sprintf("the request of %s has %d bytes, and the largest that is taken has %d", c.name(), size, mostBytes),
		limit: fmt.Sprint(mostBytes), until: "it is smaller",
	}
}

func unknownVerb(c *call) *refusal {
	return &refusal{reason: "verb", code: connect.CodeUnimplemented, words: fmt.Sprintf("%.100q is not known here", c.name()), until: "the program is of the version of its client"}
}

func wrongMethod(c *call, method string) *refusal {
	return &refusal{
		reason: "method", words: fmt.Sprintf("%s is called with POST, not with %.20q", c.name(), method),
		status: http.StatusMethodNotAllowed,
	}
}

func wrongType(c *call, given string) *refusal {
	return &refusal{
		reason: "type", words: fmt.Sprintf("%s is called in protobuf or JSON, not in %.50q", c.name(), given),
		status: http.StatusUnsupportedMediaType,
	}
}
