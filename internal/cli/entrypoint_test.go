package cli_test

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

type entrypointService struct {
	gliav1connect.UnimplementedEntrypointServiceHandler
	*world
}

func (s entrypointService) GetEntrypoint(context.Context, *connect.Request[gliav1.GetEntrypointRequest]) (*connect.Response[gliav1.GetEntrypointResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return answer(s.entry), nil
}

// straight is what the configuration "here.toml" of the scripts leads to.
func straight(_ context.Context, config string) (*gliav1.GetEntrypointResponse, error) {
	if config != "here.toml" {
		return nil, errors.New("open " + config + ": no such file or directory")
	}
	return &gliav1.GetEntrypointResponse{
		Why: "what elects does not answer", ElectedBy: "database",
		Needs: []*gliav1.Need{{Name: "database", Problem: "connection refused"}},
	}, nil
}
