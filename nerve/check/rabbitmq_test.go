package check_test

import (
	"testing"

	"glia/internal/testbed"
	"glia/nerve/check"
)

func TestRabbitMQ_AsksARealBroker(t *testing.T) {
	t.Parallel()
	broker := testbed.RabbitMQ(t)
	good := check.RabbitMQ{Address: at(t, broker.Addr)}
	become(t, "a broker that works", good, "")
	for range 3 {
		probe(t, "the same broker again", good, "")
	}
	probe(t, "a password that is wrong", check.RabbitMQ{Address: good.Address, Login: check.Login{User: "guest", Password: "other"}}, "username or password not allowed")
	probe(t, "a virtual host that is not there", check.RabbitMQ{Address: good.Address, Login: check.Login{Database: "shop"}}, "virtual host shop: ")
	broker.User(t, "strict", "^other")
	strict := check.RabbitMQ{Address: good.Address, Login: check.Login{User: "strict", Password: "strict"}}
	probe(t, "a user without the right to a queue", strict, "declare a queue: Exception (403) Reason: \"ACCESS_REFUSED - access to queue 'nerve-*' in vhost '/' refused for user 'strict'")
	broker.Alarm(t, true)
	become(t, "a broker with too little memory", good, "the broker takes no messages: low on memory")
	broker.Alarm(t, false)
	become(t, "a broker with memory again", good, "")
	broker.Pause(t)
	frozen(t, good)
	broker.Resume(t)
	become(t, "a broker that goes on", good, "")
	broker.Kill(t)
	probe(t, "a broker that is gone", good, "refused")
}
