package store

// StallRenewals makes the lease of whoever opens next with this hook stop before each renewal, as SIGSTOP
// would stop the whole process.
func (o Options) StallRenewals(stall func()) Options {
	o.stall = stall
	return o
}
