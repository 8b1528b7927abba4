package haproxy

// twister is the Mersenne Twister MT19937 of Matsumoto and Nishimura (1998), seeded as Ruby's Random.new does with a number of 32 bits,
// because synapse orders servers with it.
type twister struct {
	state [624]uint32
	at    int
}

func newTwister(seed uint32) *twister {
	t := &twister{at: 624}
	t.state[0] = seed
	for i := uint32(1); i < 624; i++ {
		last := t.state[i-1]
		t.state[i] = 1812433253*(last^last>>30) + i
	}
	return t
}

func (t *twister) uint32() uint32 {
	s := t.state[:]
	if t.at == 624 {
		for i := range 624 {
			y := s[i]&(1<<31) | s[(i+1)%624]&(1<<31-1)
			s[i] = s[(i+397)%624] ^ y>>1 ^ (y&1)*0x9908b0df
		}
		t.at = 0
	}
	y := s[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// upTo is a number from 0 to limit, drawn again until it fits below the next power of two, as Ruby does.
func (t *twister) upTo(limit uint32) uint32 {
	if limit == 0 {
		return 0
	}
	mask := limit
	for _, n := range []uint{1, 2, 4, 8, 16} {
		mask |= mask >> n
	}
	for {
		if v := t.uint32() & mask; v <= limit {
			return v
		}
	}
}

// shuffle orders the list as Ruby's shuffle(random: Random.new(seed)) does.
func shuffle(list []string, seed uint32) {
	t := newTwister(seed)
	for i := len(list); i > 0; i-- {
		j := t.upTo(uint32(i - 1))
		list[i-1], list[j] = list[j], list[i-1]
	}
}
