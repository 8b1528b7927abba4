package synapse

import "container/heap"

// queue holds hosts in an order. A host is in one queue at most, and must leave it before what it is ordered by matters
// again.
type queue struct {
	hosts  []*host
	before func(a, b *host) bool
}

var _ heap.Interface = (*queue)(nil)

func (q *queue) add(h *host) {
	h.queue = q
	heap.Push(q, h)
}

// first is the host at the head of the queue, or nil.
func (q *queue) first() *host {
	if len(q.hosts) == 0 {
		return nil
	}
	return q.hosts[0]
}

// leave takes the host out of the queue that it is in, if any.
func (h *host) leave() {
	if h.queue != nil {
		heap.Remove(h.queue, h.place)
		h.queue = nil
	}
}

// The rest is what package heap asks for.

func (q *queue) Len() int           { return len(q.hosts) }
func (q *queue) Less(i, j int) bool { return q.before(q.hosts[i], q.hosts[j]) }

func (q *queue) Swap(i, j int) {
	q.hosts[i], q.hosts[j] = q.hosts[j], q.hosts[i]
	q.hosts[i].place, q.hosts[j].place = i, j
}

func (q *queue) Push(x any) {
	h := x.(*host) //nolint:forcetypeassert // add pushes nothing else
	h.place = len(q.hosts)
	q.hosts = append(q.hosts, h)
}

func (q *queue) Pop() any {
	last := len(q.hosts) - 1
	h := q.hosts[last]
	q.hosts[last] = nil
	q.hosts = q.hosts[:last]
	return h
}
