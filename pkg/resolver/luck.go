package resolver

// HashLuck orders instances for a key as BalanceHash does: the least wins, the
// same on every node.
func HashLuck(key uint64, in *Instance) float64 { return hashLuck(key, in) }
