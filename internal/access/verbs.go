package access

import (
	"strings"
	"time"

	"glia/api/glia/v1/gliav1connect"
	"glia/config"
)

// verb says what a call needs and how it is treated.
type verb struct {
	role    config.Role
	orders  bool // for repairers alone, if the configuration names them
	changes bool // it has a line in the log
	stream  bool // it goes on for as long as the client likes
	within  time.Duration
}

const (
	shortly = 5 * time.Minute  // longer than any deadline of a probe or of a client
	long    = 30 * time.Minute // reads the whole log
)

// The kinds of verbs.
var (
	look  = verb{role: config.RoleRead, within: shortly}
	watch = verb{role: config.RoleRead, stream: true}
	read  = verb{role: config.RoleRead, within: long}
	probe = verb{role: config.RoleOperate, within: shortly}
	steer = verb{role: config.RoleOperate, changes: true, within: shortly}
	allow = verb{role: config.RoleDestroy, changes: true, within: shortly}
	order = verb{role: config.RoleDestroy, orders: true, changes: true, within: shortly}
)

// verbs is who may call what: every verb of every service, and nothing else is served.
var verbs = map[string]verb{
	gliav1connect.RepairServiceGetStatusProcedure:        look,
	gliav1connect.RepairServiceListCasesProcedure:        look,
	gliav1connect.RepairServiceGetCaseProcedure:          look,
	gliav1connect.RepairServiceWatchCaseProcedure:        watch,
	gliav1connect.RepairServicePlanRepairProcedure:       look,
	gliav1connect.RepairServiceExplainProcedure:          look,
	gliav1connect.RepairServiceListTicketsProcedure:      look,
	gliav1connect.RepairServiceGetTicketProcedure:        look,
	gliav1connect.RepairServiceScoreRulesProcedure:       look,
	gliav1connect.RepairServiceListGraveyardProcedure:    look,
	gliav1connect.RepairServiceVerifyAuditProcedure:      read,
	gliav1connect.RepairServiceExportAuditProcedure:      watch,
	gliav1connect.RepairServicePauseProcedure:            steer,
	gliav1connect.RepairServiceResumeProcedure:           steer,
	gliav1connect.RepairServiceCancelProcedure:           steer,
	gliav1connect.RepairServiceUnparkProcedure:           steer,
	gliav1connect.RepairServiceWithdrawApprovalProcedure: steer,
	gliav1connect.RepairServiceResolveTicketProcedure:    steer,
	gliav1connect.RepairServiceRecordOutcomeProcedure:    steer,
	gliav1connect.RepairServiceForgiveDiskProcedure:      steer,
	gliav1connect.RepairServiceLocateProcedure:           steer,
	gliav1connect.RepairServiceApproveProcedure:          allow,
	gliav1connect.RepairServiceResetBreakerProcedure:     allow,

	gliav1connect.QueueServiceListQueueProcedure:   look,
	gliav1connect.QueueServiceReplayEventProcedure: steer,
	gliav1connect.QueueServiceDropEventProcedure:   steer,

	gliav1connect.EntrypointServiceGetEntrypointProcedure: look,

	gliav1connect.FleetServiceWatchFleetProcedure:     watch,
	gliav1connect.FleetServiceListFleetDisksProcedure: look,

	gliav1connect.HostServiceListDisksProcedure:    look,
	gliav1connect.HostServiceGetHistoryProcedure:   look,
	gliav1connect.HostServiceListAcceptedProcedure: look,
	gliav1connect.HostServiceProbeDiskProcedure:    probe,
	gliav1connect.HostServiceAcceptValueProcedure:  steer,
	gliav1connect.HostServiceFenceProcedure:        order,
	gliav1connect.HostServiceExecuteProcedure:      order,

	gliav1connect.BackendServiceListFollowedProcedure: look,

	gliav1connect.AnnouncerServiceListServicesProcedure:     look,
	gliav1connect.AnnouncerServiceBeginMaintenanceProcedure: steer,
	gliav1connect.AnnouncerServiceEndMaintenanceProcedure:   steer,
}

// services is what the paths of all services begin with.
const services = "/glia.v1."

// isCall says whether a path is one of a service, known or not.
func isCall(path string) bool { return strings.HasPrefix(path, services) }

// label is the name of a verb for logs and metrics, such as RepairService/Cancel. Verbs that are not known
// have none: clients could invent any number of them.
func (c *call) label() string {
	if !c.known {
		return ""
	}
	return c.name()
}

func (c *call) name() string { return strings.TrimPrefix(c.procedure, services) }
