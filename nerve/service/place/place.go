// Package place announces services in registries: in ZooKeeper with the nodes and bytes of Airbnb's nerve 0.9.7, and in Consul as services
// with a check that nerve renews.
//
// It guarantees that what it announced ends with nerve: the nodes with the session, the checks with their time to live. It fails by
// returning errors; a call whose outcome is not known is made good by the next one.
package place

import "time"

// patience bounds one call: a registry that is away must not hold up the checks.
const patience = 3 * time.Second

// impatience bounds it while ZooKeeper is away, or refuses: what is wanted is noted, and done without us once that can be.
const impatience = 200 * time.Millisecond
