package access_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"glia/config"
	"glia/internal/access"
	"glia/internal/pki"
)

// needs is the least that a client must be for each verb. It says once more what the table of the package says, so
// that nobody widens a verb by mistake.
var needs = map[string]string{
	"RepairService/GetStatus": "read", "RepairService/ListCases": "read", "RepairService/GetCase": "read", "RepairService/WatchCase": "read",
	"RepairService/PlanRepair": "read", "RepairService/Explain": "read", "RepairService/ListTickets": "read", "RepairService/GetTicket": "read",
	"RepairService/ScoreRules": "read", "RepairService/ListGraveyard": "read", "RepairService/VerifyAudit": "read", "RepairService/ExportAudit": "read",
	"RepairService/Pause": "operate", "RepairService/Resume": "operate", "RepairService/Cancel": "operate", "RepairService/Unpark": "operate",
	"RepairService/WithdrawApproval": "operate", "RepairService/ResolveTicket": "operate", "RepairService/RecordOutcome": "operate",
	"RepairService/ForgiveDisk": "operate", "RepairService/Locate": "operate",
	"RepairService/Approve": "destroy", "RepairService/ResetBreaker": "destroy",
	"QueueService/ListQueue": "read", "QueueService/ReplayEvent": "operate", "QueueService/DropEvent": "operate",
	"EntrypointService/GetEntrypoint": "read",
	"FleetService/WatchFleet":         "read", "FleetService/ListFleetDisks": "read",
	"HostService/ListDisks": "read", "HostService/GetHistory": "read", "HostService/ListAccepted": "read", "HostService/ProbeDisk": "operate", "HostService/AcceptValue": "operate",
	"HostService/Fence": "repairer", "HostService/Execute": "repairer",
	"BackendService/ListFollowed":   "read",
	"AnnouncerService/ListServices": "read", "AnnouncerService/BeginMaintenance": "operate", "AnnouncerService/EndMaintenance": "operate",
}

// eachVerb calls f with every verb that the definitions of the API have.
func eachVerb(f func(path, name string, stream bool)) {
	protoregistry.GlobalFiles.RangeFilesByPackage("glia.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			s := file.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				name := string(s.Name()) + "/" + string(m.Name())
				f("/glia.v1."+name, name, m.IsStreamingServer() || m.IsStreamingClient())
			}
		}
		return true
	})
}

// Every verb that the API defines, by every kind of client, over real TLS: each is let in or refused as it must be.
func TestGuard_LetsEachRoleCallWhatItMay(t *testing.T) {
	t.Parallel()
	b := newBed(t, all{}, func(o *access.Options) { o.Repairers = []string{"spiffe://example.com/repairer"} })
	who := []string{"none", "read", "operate", "destroy", "repairer"}
	rank := map[string]int{}
	for i, w := range who {
		rank[w] = i
	}
	for _, w := range who {
		r := pki.Request{Name: w, Role: config.Role(w)}
		if w == "repairer" {
			r.Role, r.Names = config.RoleDestroy, []string{"spiffe://example.com/repairer"}
		}
		client := b.client(r)
		verbs := 0
		eachVerb(func(path, name string, stream bool) {
			verbs++
			need, ok := needs[name]
			if !ok {
				t.Errorf("%s is not in the table of this test", name)
			}
			err := call(t, client, b.url, path, stream)
			// Whoever is let in meets a service that does nothing.
			switch in := strings.Contains(err.Error(), "is not implemented"); {
			case in && rank[w] < rank[need]:
				t.Errorf("%s may call %s, which is for %s", w, name, need)
			case !in && rank[w] >= rank[need]:
				t.Errorf("%s may not call %s: %v", w, name, err)
			case !in:
				wantRefused(t, err, connect.CodePermissionDenied, name, "certificate "+w)
			}
		})
		if verbs != len(needs) {
			t.Errorf("the API has %d verbs, and this test knows %d", verbs, len(needs))
		}
	}
	b.wantCounted("RepairService/Approve", "role", 3)
	b.wantCounted("HostService/Execute", "repairer", 1)
}

func TestGuard_SaysWhoWhatAndWhereToChangeIt(t *testing.T) {
	t.Parallel()
	b := newBed(t, all{}, func(o *access.Options) { o.Repairers = []string{"repairer-1"} })
	ann := b.client(pki.Request{Name: "ann", Role: config.RoleRead})
	for _, o := range [][]connect.ClientOption{nil, {connect.WithGRPC()}, {connect.WithGRPCWeb()}, {connect.WithProtoJSON()}} {
		err := call(t, ann, b.url, "/glia.v1.RepairService/Approve", false, o...)
		wantRefused(t, err, connect.CodePermissionDenied, `RepairService/Approve needs the role destroy, and certificate ann has the role read; allowed when "ann" is added to destroy in [access] of repairer.toml`)
	}
	err := call(t, b.client(pki.Request{Name: "bob"}), b.url, "/glia.v1.RepairService/GetStatus", false)
	wantRefused(t, err, connect.CodePermissionDenied, "certificate bob has no role here")
	err = call(t, b.client(pki.Request{Name: "eve", Role: config.RoleDestroy}), b.url, "/glia.v1.HostService/Execute", false)
	wantRefused(t, err, connect.CodePermissionDenied, "HostService/Execute is for the repairer alone, and certificate eve is not it", "repairers in [hand]")
	if strings.Contains(err.Error(), "repairer-1") {
		t.Errorf("a stranger is told who the repairers are: %v", err)
	}
	err = call(t, ann, b.url, "/glia.v1.RepairService/DropTables", false)
	wantRefused(t, err, connect.CodeUnimplemented, `"RepairService/DropTables" is not known here`)
	b.wantCounted("", "verb", 1)
	if log := b.log.String(); !strings.Contains(log, `msg="call refused" verb=RepairService/Approve by="certificate ann"`) || strings.Count(log, "certificate ann") != 2 {
		t.Errorf("want one line about ann, with what it takes:\n%s", log)
	}
}
