package transfer

import (
	"crypto/rand"
	"os"
	"path"
)

// tempPrefix begins the name of a file that is not complete.
const tempPrefix = ".serval-part-"

// createTemp opens a new file, readable by its owner only, in the directory of p,
// which it creates.
func (r *receiver) createTemp(p string) (f *os.File, name string, err error) {
	dir := path.Dir(p)
	if err := r.root.MkdirAll(dir, 0o777); err != nil {
		return nil, "", err
	}
	name = path.Join(dir, tempPrefix+rand.Text())
	f, err = r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return f, name, err
}
