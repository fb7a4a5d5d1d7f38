package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/control"
	"postwhere/milter"
	"postwhere/policy/delegation"
	"postwhere/policy/server"
	"postwhere/policy/socketmap"
	"postwhere/policy/table"
	"postwhere/policy/tcptable"
)

// doorKey says what is served where. Reloads keep the doors whose key stays.
type doorKey struct {
	face   string // policy, milter, socketmap, tcp_table, control, provisioning
	listen config.Listener
	table  string // the map of a tcp_table
}

func (k doorKey) String() string { return "listen." + k.face + " " + k.listen.String() }

// door is a listener and the server of its face.
type door struct {
	key      doorKey
	listener net.Listener
	serve    func(net.Listener) error
	shutdown func(context.Context) error
}

// doorKeys returns the doors that a configuration asks for.
func doorKeys(l config.Listen) []doorKey {
	var keys []doorKey
	add := func(face string, listen []config.Listener) {
		for _, at := range listen {
			keys = append(keys, doorKey{face: face, listen: at})
		}
	}
	add("policy", l.Policy)
	add("milter", l.Milter)
	add("socketmap", l.Socketmap)
	add("control", l.Control)
	add("provisioning", l.Provisioning)
	for _, t := range l.TCPTable {
		keys = append(keys, doorKey{"tcp_table", t.Listen, t.Map})
	}
	return keys
}

// openDoors binds what cfg asks for and is not open yet. On an error nothing new
// is open.
func (d *Daemon) openDoors(cfg *config.Config) (opened []*door, err error) {
	defer func() {
		if err != nil {
			for _, o := range opened {
				_ = o.listener.Close()
			}
		}
	}()
	for _, key := range doorKeys(cfg.Listen) {
		if d.doors[key] != nil {
			continue
		}
		if other := d.servedAs(key.listen); other != "" {
			return opened, fmt.Errorf("%s: this daemon serves %s there: to change that it must be started anew", key, other)
		}
		l, err := d.listen(key)
		if err != nil {
			return opened, fmt.Errorf("%s: %w", key, err)
		}
		o, err := d.newDoor(key, l, cfg)
		if err != nil {
			_ = l.Close()
			return opened, fmt.Errorf("%s: %w", key, err)
		}
		opened = append(opened, o)
	}
	return opened, nil
}

// listen returns the listener of a door: the one that systemd has handed over for it,
// else one of our own.
func (d *Daemon) listen(key doorKey) (net.Listener, error) {
	l, err := d.inherited.listener(key.face, key.listen)
	if l != nil || err != nil {
		return l, err
	}
	l, err = listen(key.listen)
	if name := d.inherited.otherName(key.listen); err != nil && name != "" {
		return nil, fmt.Errorf("systemd listens there for %q: let its socket unit say FileDescriptorName=%s", name, key.face)
	}
	if at := d.inherited.onPort(key.listen); errors.Is(err, syscall.EADDRINUSE) && at != "" {
		return nil, fmt.Errorf("systemd listens at %s: let the socket unit have the address that [listen] has, or disable it (%w)", at, err)
	}
	return l, err
}

// servedAs returns what is served at an address now, "" if nothing is.
func (d *Daemon) servedAs(at config.Listener) string {
	for key := range d.doors {
		if key.listen == at && !at.AnyPort() {
			return strings.TrimSuffix("listen."+key.face+" "+key.table, " ")
		}
	}
	return ""
}

// newDoor puts the server of the face behind a listener.
func (d *Daemon) newDoor(key doorKey, l net.Listener, cfg *config.Config) (*door, error) {
	if key.face == "control" {
		s := control.NewServer(d, d.log)
		return &door{key, l, s.Serve, s.Shutdown}, nil
	}
	if key.face == "provisioning" {
		s := control.NewProvisioningServer(d, control.ProvisioningOptions{
			At: key.listen, Token: d.provisioningToken, Limits: cfg.Limits, Log: d.log,
		})
		return &door{key, l, s.Serve, s.Shutdown}, nil
	}
	opt := server.Options{
		MaxConns:     cfg.Limits.Connections,
		ReadTimeout:  time.Duration(cfg.Limits.RequestTimeout),
		WriteTimeout: time.Duration(cfg.Limits.RequestTimeout),
		Log:          d.log,
	}
	if key.face == "milter" {
		s := milter.New(d, milter.Options{Options: opt, TraceHeader: d.traceHeader})
		return &door{key, l, s.Serve, s.Shutdown}, nil
	}
	maps := &table.Maps{Searcher: d, Ours: d.Ours, Wait: time.Duration(cfg.Search.MapWait), Log: d.log}
	var exchange server.Exchange
	switch key.face {
	case "policy":
		exchange = delegation.Exchange(d)
	case "socketmap":
		exchange = socketmap.Exchange(maps)
	case "tcp_table":
		var err error
		if exchange, err = tcptable.Exchange(maps, key.table); err != nil {
			return nil, err
		}
	}
	s := server.New(key.face, exchange, opt)
	return &door{key, l, s.Serve, s.Shutdown}, nil
}

// switchDoors opens the new doors to clients and drains those that cfg no longer
// has.
func (d *Daemon) switchDoors(cfg *config.Config, opened []*door) {
	wanted := make(map[doorKey]bool)
	for _, key := range doorKeys(cfg.Listen) {
		wanted[key] = true
	}
	for key, old := range d.doors {
		if !wanted[key] {
			delete(d.doors, key)
			_ = old.listener.Close() // at once: the next configuration may want the address
			d.log.Info("no longer listening", "face", key.face, "on", old.listener.Addr().String())
			d.leaving.Go(func() {
				ctx, cancel := context.WithTimeout(d.ctx, DrainTime)
				defer cancel()
				_ = old.shutdown(ctx)
			})
		}
	}
	for _, s := range d.inherited.unclaimed(doorKeys(cfg.Listen)) {
		d.log.Warn(s.warning(), "name", s.name, "on", s.addr.String())
	}
	for _, o := range opened {
		d.doors[o.key] = o
		d.log.Info("listening", "face", o.key.face, "on", o.listener.Addr().String())
		d.leaving.Go(func() {
			if err := o.serve(o.listener); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
				d.log.Error("listener ended", "on", o.key.String(), "err", err)
			}
		})
	}
}

// AddressOf returns where a face is reached, "" if it is not listening.
func (d *Daemon) AddressOf(face string) string {
	for key, open := range d.doors {
		if key.face == face {
			return open.listener.Addr().String()
		}
	}
	return ""
}
