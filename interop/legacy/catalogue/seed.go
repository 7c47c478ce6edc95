//go:build linux

package catalogue

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/content"
)

// seed is what servers and clients share: files, keys, and how long what is slow
// takes.
type seed struct {
	dir   string
	lasts time.Duration

	big  string // content of /big
	slow string // content of /slow/file, handed out at slowRate
}

// Sizes of files, in bytes.
const (
	bigSize  = 3 << 20
	slowRate = 64 << 10 // per second
	subs     = 24       // sub-resources of the page, of three kinds
)

func newSeed(dir string, lasts time.Duration) (*seed, error) {
	s := &seed{dir: dir, lasts: lasts}
	s.big = text(bigSize, 1)
	s.slow = text(int(lasts.Seconds()*slowRate), 2)
	files := map[string]string{"big": s.big, "slow/file": s.slow}
	page := "<!doctype html><title>page</title>\n"
	for i := range subs / 3 {
		name := fmt.Sprintf("sub/%d", i)
		page += fmt.Sprintf("<link rel=stylesheet href=/%[1]s.css><script src=/%[1]s.js></script><img src=/%[1]s.svg>\n", name)
		files[name+".css"] = fmt.Sprintf(".c%d { color: red }\n", i)
		files[name+".js"] = "window.scripts = (window.scripts || 0) + 1\n"
		files[name+".svg"] = `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>`
	}
	// What a browser tells of the page once it has loaded everything.
	page += `<p id=count></p><script>onload = () => {
  const images = [...document.images].filter(i => i.naturalWidth > 0).length
  document.getElementById("count").textContent = "loaded " + scripts + " " + images + " " + document.styleSheets.length
}</script>
`
	files["page.html"] = page
	files["slow.html"] = "<!doctype html><title>slow</title><p id=size></p><script>\n" +
		"const r = new XMLHttpRequest(); r.open('GET', '/slow/file', false); try { r.send() } catch (e) {}\n" +
		"document.getElementById('size').textContent = 'got ' + r.responseText.length</script>\n"
	for name, content := range files {
		path := filepath.Join(dir, "www", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// text returns so many bytes that look random, in lines: what changes line ends or
// compresses shows.
func text(size int, seed uint64) string {
	raw := make([]byte, size)
	content.Fill(raw, seed, 0)
	var b strings.Builder
	for i, c := range raw {
		if i%79 == 78 {
			b.WriteByte('\n')
		} else {
			b.WriteByte(' ' + 1 + c%94)
		}
	}
	return b.String()
}
