package scenario

// spread divides n bytes that came between two times, in bins, among the bins.
func spread(bytes []uint64, from, to float64, n uint64) {
	if n == 0 || to <= from || from < 0 {
		return
	}
	left, given := float64(n), uint64(0)
	for bin := int(from); bin < len(bytes) && float64(bin) < to; bin++ {
		share := min(to, float64(bin+1)) - max(from, float64(bin))
		part := uint64(left * share / (to - from))
		bytes[bin] += part
		given += part
	}
	if last := min(int(to), len(bytes)-1); last >= 0 && given < n && to <= float64(len(bytes)) {
		bytes[last] += n - given // what rounding left
	}
}
