package rsyn

// bug breaks the machine in one known way. The explorer must notice each.
type bug uint8

const (
	bugNone         bug = iota
	bugOrder            // the 2012 prototype: an answer to our move, while the peer's is under way, does not move us
	bugOldVerno         // a late RSYN undoes a newer one
	bugNoChallenge      // the source of an RSYN is believed
	bugAnswerAll        // CHALLENGEs are answered wherever they come from
	bugDropOwn          // the peer's RSYN cancels our own
	bugNoIncumbent      // a rebound address is not held against the one in use
	bugTrustRebound     // CHALLENGEs from a rebound address are answered
	bugAnyPlace         // a RESPONSE counts wherever it comes from
	bugEarlyData        // data follows before the RESPONSE
	bugOnce             // RSYNs are not repeated
	bugTrustMoved       // CHALLENGEs from where an RSYN came from are answered
	bugSilent           // an RSYN of a version that was seen is not answered
)
