package config

// Election is the section [election]: what says which of several repairers leads.
type Election struct {
	By   Elect  `toml:"by"`
	Name string `toml:"name"` // of the election in ZooKeeper or Consul; the same for all repairers
}

// Elect is what can elect.
type Elect string

// The ways to elect. Serf is known only to be refused with the reason.
const (
	ElectDatabase  Elect = "database"
	ElectZooKeeper Elect = "zookeeper"
	ElectConsul    Elect = "consul"
	electSerf      Elect = "serf"
)

var elects = []Elect{ElectDatabase, ElectZooKeeper, ElectConsul}

// UnmarshalText accepts the ways above and nothing else.
func (e *Elect) UnmarshalText(text []byte) error {
	if string(text) == string(electSerf) {
		*e = electSerf
		return nil
	}
	return choose(e, text, elects)
}

func (*Elect) want() string { return wantOneOf(elects) }

func (r *Repairer) validateElection(c *check) {
	c.word("election.name", r.Election.Name, "the name of an election")
	switch r.Election.By {
	case electSerf:
		c.bad([]string{"election.by"}, "Serf has no consensus, so it can not elect: use the database, ZooKeeper or Consul; with Serf alone run one repairer, or several in mode observe, each with a database of its own")
		return
	case ElectZooKeeper:
		r.ZooKeeper.validate(c)
	case ElectConsul:
		r.Consul.validate(c)
	default:
		return
	}
	if !r.Postgres() {
		c.bad([]string{"election.by", "database"}, "%s would elect among repairers that share no cases: use a PostgreSQL database, or leave it to the database, where the process that locks the file leads", r.Election.By)
	}
}

func (r *Repairer) checkElectionFiles(c *check) {
	switch r.Election.By {
	case ElectZooKeeper:
		r.ZooKeeper.checkFiles(c)
	case ElectConsul:
		r.Consul.checkFiles(c)
	}
}
