package cli_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

// The log of this server is broken by an event of the kind "forged", and its export by one of the kind "torn".
func (s repairService) VerifyAudit(context.Context, *connect.Request[gliav1.VerifyAuditRequest]) (*connect.Response[gliav1.VerifyAuditResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &gliav1.VerifyAuditResponse{}
	for _, e := range s.events["C-7"] {
		if e.Kind == "forged" {
			out.Problem, out.BrokenAt = fmt.Sprintf("event %d was changed: its hash is not that of its content", e.Seq), e.Seq
			break
		}
		out.Events++
	}
	return answer(out), nil
}

func (s repairService) ExportAudit(_ context.Context, _ *connect.Request[gliav1.ExportAuditRequest], stream *connect.ServerStream[gliav1.ExportAuditResponse]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.events["C-7"] {
		if e.Kind == "torn" {
			return connect.NewError(connect.CodeInternal, errors.New("disk is away"))
		}
		if err := stream.Send(&gliav1.ExportAuditResponse{Json: fmt.Sprintf(`{"seq":%d,"prev":%q}`, i+1, strings.Repeat("0", 3))}); err != nil {
			return err
		}
	}
	return nil
}
