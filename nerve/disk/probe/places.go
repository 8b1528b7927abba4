package probe

import "math/bits"

// golden is 2^64 divided by the golden ratio. Its multiples modulo 2^64 fall evenly into any interval,
// however many of them one takes.
const golden = 0x9E3779B97F4A7C15

// Places are the byte offsets of the reads of probe number k, in ascending order: the first and the last
// of the device, and between them one in each of n-2 equal parts. Where in its part the read lies moves
// with k, so that over many probes every block is read. All are multiples of length, except that the
// last may be only a multiple of the device's block.
//
// A device too small for n reads gets fewer; one smaller than length gets none.
func Places(size int64, block, length, n int, k uint64) []int64 {
	if size < int64(length) || n < 1 || block < 1 {
		return nil
	}
	last := (size - int64(length)) / int64(block) * int64(block)
	out := []int64{0}
	slots := max(0, last-1) / int64(length) // those between the first and the last, at multiples of length
	if parts := int64(n - 2); parts > 0 {
		for i := range parts {
			from, to := part(slots, parts, i), part(slots, parts, i+1)
			if from == to {
				continue
			}
			offset, _ := bits.Mul64(k*golden, uint64(to-from))
			out = append(out, (1+from+int64(offset))*int64(length))
		}
	}
	if n > 1 && last > 0 {
		out = append(out, last)
	}
	return out
}

// part is where part i of n begins when slots are dealt out evenly.
func part(slots, n, i int64) int64 {
	hi, lo := bits.Mul64(uint64(slots), uint64(i))
	q, _ := bits.Div64(hi, lo, uint64(n))
	return int64(q)
}
