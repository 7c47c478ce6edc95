package exec

// Exit codes for when the program was not run, as env(1) and nohup(1) have them.
const (
	CodeFailed        = 125 // servald failed
	CodeNotExecutable = 126 // the program cannot be run
	CodeNotFound      = 127 // there is no such program
)

// Error says why a program was not run, or could not go on.
type Error struct {
	Code int // to exit with
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }
