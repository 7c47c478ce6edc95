package tun

import "context"

// Run serves the programs behind dev until ctx is done, then closes dev and returns
// nil. It returns the error when dev fails for another reason. When it returns,
// nothing that it started runs any more.
func Run(ctx context.Context, dev Device, h Handler, cfg Config) error {
	s, err := New(dev, h, cfg)
	if err != nil {
		dev.Close()
		return err
	}
	return s.Run(ctx)
}
