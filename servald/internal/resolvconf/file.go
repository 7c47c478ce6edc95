package resolvconf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// backupOf is where the file that was there is kept. It is the very file, with its
// owner, times and attributes, or the symbolic link that it was; a copy only where
// the file cannot be replaced but must be written to.
func backupOf(path string) string { return path + ".before-servald" }

// file is the way by resolv.conf.
type file struct {
	cfg  Config
	made []byte  // what we have written; nil if we have not
	held claim   // while it is made
	seen *[]byte // something else that was there when it was last looked at
}

func (f *file) set(ctx context.Context) ([]string, error) {
	if f.cfg.Server.Port() != 53 {
		return nil, fmt.Errorf("resolv.conf: programs ask at port 53 only, and the DNS server listens at %v; let it listen at %v", f.cfg.Server, netip.AddrPortFrom(f.cfg.Server.Addr(), 53))
	}
	held, ok := claimFor(ctx, f.cfg.Path, time.Second)
	if !ok {
		return nil, fmt.Errorf("%s is set up by another servald that runs: stop that, or set resolv_conf = \"off\" for this one", f.cfg.Path)
	}
	f.held = held
	// What a kill has left, what somebody has edited, or a kept file that is outdated.
	if err := recoverFile(f.cfg.Path, f.cfg.Logger); err != nil {
		return nil, err
	}
	before, err := read(f.cfg.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("resolv.conf: %w", err)
	}
	backup := backupOf(f.cfg.Path)
	made := ours(f.cfg.Server.Addr(), before, backup)
	if err := keep(f.cfg.Path, backup); err != nil {
		return nil, advise(f.cfg, err)
	}
	if err := replace(f.cfg.Path, made); err != nil {
		return nil, errors.Join(advise(f.cfg, err), remove(backup))
	}
	f.made = made
	f.held.add(f.cfg.Path)
	return f.servers(before), nil
}

// advise says what to do where the file cannot be changed.
func advise(cfg Config, err error) error {
	var why string
	switch {
	case errors.Is(err, syscall.EROFS):
		why = "is on a read-only file system"
	case errors.Is(err, fs.ErrPermission):
		why = "may not be changed by this user, or has the attribute that forbids it (chattr -i removes that)"
	case errors.Is(err, syscall.ENOSPC):
		why = "is on a disk that is full"
	default:
		return fmt.Errorf("resolv.conf cannot be changed, and is as it was: %w", err)
	}
	return fmt.Errorf("%s %s, and is as it was: put the line \"nameserver %v\" first in it yourself, or set resolv_conf = \"off\" and use `servald exec` or a proxy: %w", cfg.Path, why, cfg.Server.Addr(), err)
}

// servers are those that the host had before. The stub of systemd-resolved is left
// out: it reads resolv.conf itself, and would ask us.
func (f *file) servers(before []byte) []string {
	list := parse(before).servers
	if slices.ContainsFunc(list, isStub) {
		list = slices.DeleteFunc(list, isStub)
		if up, err := read(uplinks); err == nil {
			list = append(list, parse(up).servers...)
		}
	}
	return addresses(slices.DeleteFunc(list, func(a netip.Addr) bool { return a == f.cfg.Server.Addr() }))
}

func (f *file) check(ctx context.Context) (again bool, servers []string, err error) {
	now, err := read(f.cfg.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, nil, err
	}
	if f.made != nil && string(now) == string(f.made) {
		f.seen = nil
		return false, nil, nil
	}
	if f.seen == nil || string(now) != string(*f.seen) {
		f.seen = &now // it may still be written
		return false, nil, nil
	}
	f.made, f.seen = nil, nil
	f.held.release()
	servers, err = f.set(ctx)
	return err == nil, servers, err
}

func (f *file) restore() error {
	defer f.held.release()
	if f.made == nil {
		return nil // nothing was set, or what was is put right
	}
	f.made = nil
	return recoverFile(f.cfg.Path, f.cfg.Logger)
}

// Recover puts back what a servald that was killed has left in resolv.conf at path;
// "" means DefaultPath. A file that others have put in the place of ours is left as it
// is, and so is ours while the servald that made it runs. It does nothing where nothing
// is left. In systemd-resolved, nothing ever is.
func Recover(path string, log *slog.Logger) error {
	if path == "" {
		path = DefaultPath
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	held, ok := claimNow(path)
	if !ok {
		return nil
	}
	defer held.release()
	return recoverFile(path, log)
}

func recoverFile(path string, log *slog.Logger) error {
	backup := backupOf(path)
	now, err := read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil // it is not ours
	}
	if err := remove(freshOf(path)); err != nil {
		return err
	}
	_, lerr := os.Lstat(backup)
	kept := lerr == nil
	made, intact := isOurs(now)
	switch {
	case kept && len(now) < len(mark) && (made || len(now) == 0): // a kill while it was written, or it was removed
	case !made:
		return remove(backup)
	case !intact:
		edited := path + ".edited"
		if err := create(edited, now); err != nil {
			return fmt.Errorf("resolv.conf: somebody has edited servald's %s; what he wrote cannot be kept, so all is left as it is: %w", path, err)
		}
		log.Warn("somebody has edited servald's resolv.conf: what he wrote is kept", "file", edited)
	}
	if !kept {
		old := parse(now)
		if len(old.servers) < 2 && len(old.rest) == 0 {
			return os.Remove(path) // there was none before
		}
		// The kept file is gone: what is known of it is in ours.
		return replace(path, Render(old.servers[min(1, len(old.servers)):], now))
	}
	err = os.Rename(backup, path)
	if errors.Is(err, syscall.EBUSY) {
		before, rerr := read(backup)
		if rerr != nil {
			return rerr
		}
		if err := overwrite(path, before); err != nil {
			return err
		}
		return remove(backup)
	}
	if err != nil {
		return fmt.Errorf("resolv.conf: what was there before servald is %s; move it to %s: %w", backup, path, err)
	}
	return nil
}

// keep makes the backup of a file that is going to be replaced.
func keep(path, backup string) error {
	if err := remove(backup); err != nil {
		return err
	}
	err := os.Link(path, backup) // of a symbolic link, it is one to the link
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EOPNOTSUPP) {
		// A mount of its own, as in containers, or no hard links.
		if info, lerr := os.Lstat(path); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(to, backup)
		}
		b, rerr := read(path)
		if rerr != nil {
			return rerr
		}
		return create(backup, b)
	}
	return err
}

// freshOf is where a new file is made before it takes the place of another.
func freshOf(path string) string { return path + ".servald-new" }

// replace puts a new file in the place of another in one step, or where that is a
// mount of its own, writes to it.
func replace(path string, b []byte) error {
	fresh := freshOf(path)
	if err := create(fresh, b); err != nil {
		return err
	}
	err := os.Rename(fresh, path)
	if err == nil {
		return nil
	}
	if rerr := os.Remove(fresh); rerr != nil {
		return errors.Join(err, rerr)
	}
	if errors.Is(err, syscall.EBUSY) {
		return overwrite(path, b)
	}
	return err
}

// overwrite writes to a file that cannot be replaced.
func overwrite(path string, b []byte) error {
	before, err := read(path)
	if err != nil {
		return err
	}
	if err = writeTo(path, b); err != nil {
		return errors.Join(err, writeTo(path, before))
	}
	return nil
}

func writeTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// create makes a file anew, that all may read; it follows no symbolic link.
func create(path string, b []byte) error {
	if err := remove(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()) // whatever the umask
	if err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// remove removes what need not be there, even where nothing can be.
func remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// read reads a file as programs do: by symbolic links.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is no file", path), err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return b, err
}

// Servers returns the DNS servers that the host has at present, as addresses, in
// the order in which programs ask them; path "" means DefaultPath. What servald has put
// into the file is left out, and what comes after the first eight.
func Servers(path string) ([]string, error) {
	if path == "" {
		path = DefaultPath
	}
	b, err := read(path)
	if made, _ := isOurs(b); err == nil && made {
		if b, err = read(backupOf(path)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return addresses(parse(b).servers), nil
}
