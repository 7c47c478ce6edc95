package flowset

// Advertised reports whether the peer has what was advertised last.
func (c *Conn) Advertised() bool { return c.advert == nil || c.advert.acked }
