package repairer

import (
	"context"

	"glia/internal/access"
)

// identity is what proves who asks: the certificate, the user at the unix socket, or where there is neither what
// the client says about the user of its operating system. It may be empty.
func identity(ctx context.Context, osUser string) string {
	if who, _, ok := access.From(ctx); ok && who.Proven() {
		return who.String()
	}
	if osUser == "" {
		return ""
	}
	return "user " + osUser
}
