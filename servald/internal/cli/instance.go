package cli

import (
	"github.com/spf13/pflag"

	"github.com/serval-net/serval/servald/internal/expose"
)

const instanceHelp = `Diallers spread over the instances of a name by --weight, use those of a lower
--priority only when the others are gone or busy, and may be asked with --balance to
choose otherwise. An instance with --keys answers for a part of the name's keys.

With --check the server is asked how it is: tcp connects to it, an URL is fetched, and
a command run as cmd:COMMAND. The name is registered once the server is well, withdrawn
when it has failed twice, and registered again when it has been well twice.

How busy the instance is, from 0 to 1 and more, is its share of --max; --load takes a
number from an URL or a command instead. From 1 on it refuses, and diallers go elsewhere.`

// instanceOptions adds the flags of an instance that is put behind a name.
func instanceOptions(flags *pflag.FlagSet, c *expose.Config) {
	flags.IntVar(&c.Weight, "weight", 1, "share of this instance among those of its priority, 1 to 65535")
	flags.IntVar(&c.Priority, "priority", 0, "larger ones are dialled first, -32768 to 32767")
	flags.StringVar(&c.Balance, "balance", "", "`how` diallers should choose: weighted, least-load, nearest or hash")
	flags.StringSliceVar(&c.Keys, "keys", nil, "`prefixes` of the keys that it owns, such as 8/1 for the upper half")
	flags.StringVar(&c.Check, "check", "", "how to see that the server is well: tcp, `URL` or cmd:COMMAND")
	flags.StringVar(&c.Load, "load", "", "where to learn how busy it is: `URL` or cmd:COMMAND")
	flags.DurationVar(&c.CheckEvery, "check-every", expose.DefaultCheckEvery, "time between checks, and between questions for the load")
}
