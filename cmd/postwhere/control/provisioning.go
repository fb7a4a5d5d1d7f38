package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"postwhere/cmd/postwhere/config"
)

// ProvisioningServer is where a provisioning system has addresses forgotten: it
// serves POST /cache/flush, and nothing else.
type ProvisioningServer struct {
	Server
	most int // connections at once
}

// ProvisioningOptions are what a listener for provisioning systems goes by.
type ProvisioningOptions struct {
	At     config.Listener
	Token  func() string // what who asks must know; "": nothing, on this machine
	Limits config.Limits
	Log    *slog.Logger
}

// NewProvisioningServer returns the server behind one listener.
func NewProvisioningServer(d Flusher, opt ProvisioningOptions) *ProvisioningServer {
	patience := time.Duration(opt.Limits.RequestTimeout)
	return &ProvisioningServer{most: opt.Limits.Connections, Server: Server{http.Server{
		Handler:           &provisioning{ProvisioningOptions: opt, daemon: d, seldom: rate.Sometimes{Interval: time.Minute}},
		ReadHeaderTimeout: patience, ReadTimeout: patience, IdleTimeout: patience,
		WriteTimeout:                 patience + SyncWait + patience, // from the end of the header on
		MaxHeaderBytes:               1 << 16,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(opt.Log.Handler(), slog.LevelWarn),
	}}}
}

// Serve serves what l accepts, until Shutdown. Connections beyond the limit wait.
func (s *ProvisioningServer) Serve(l net.Listener) error {
	return s.Server.Serve(netutil.LimitListener(l, s.most))
}

// provisioning answers at one listener.
type provisioning struct {
	ProvisioningOptions
	daemon Flusher
	seldom rate.Sometimes // that somebody without the token asks is logged
}

func (p *provisioning) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFlushBody)
	done, err := p.flush(r)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		switch refused.status {
		case http.StatusMethodNotAllowed: // RFC 9110 section 15.5.6
			w.Header().Set("Allow", http.MethodPost)
		case http.StatusUnauthorized: // RFC 6750 section 3
			w.Header().Set("WWW-Authenticate", `Bearer realm="postwhere"`)
		}
		http.Error(w, refused.text, refused.status)
	case err != nil: // the daemon's word on what is asked for
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		p.Log.Info("flushed for a provisioning system", "client", r.RemoteAddr, "owners", done.Owners, "strangers", done.Strangers)
		answerJSON(w, done)
	}
}

// flush does what a request asks for. The error is a refusal, or says what is wrong
// with what is asked for.
func (p *provisioning) flush(r *http.Request) (f Flushed, err error) {
	switch {
	case r.URL.Path != "/cache/flush":
		return f, refuse(http.StatusNotFound, "there is nothing here but POST /cache/flush")
	case r.Method != http.MethodPost:
		return f, refuse(http.StatusMethodNotAllowed, "want POST")
	case fromBrowser(r):
		return f, refuse(http.StatusForbidden, "this is not for browsers")
	case !p.permits(r):
		p.seldom.Do(func() { p.Log.Warn("provisioning: a request without the token", "client", r.RemoteAddr) })
		return f, refuse(http.StatusUnauthorized, "want Authorization: Bearer and the token in provisioning.token_file")
	}
	query, err := flushQuery(r)
	if err != nil {
		return f, err
	}
	return p.daemon.Flush(r.Context(), query)
}

// fromBrowser tells whether a page in a browser has sent a request. None has any
// business here, wherever it is from: http.CrossOriginProtection lets in a page whose
// name its owner has made lead to this listener.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}

// permits tells whether a request has the token of the day. Where others than this
// machine reach the listener, one that has lost its token by a reload permits nobody:
// the configuration has none such, but the listener ends a moment later.
func (p *provisioning) permits(r *http.Request) bool {
	want := p.Token()
	if want == "" {
		return p.At.Local()
	}
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	got, all := sha256.Sum256([]byte(strings.TrimLeft(token, " "))), sha256.Sum256([]byte(want)) // of one length
	return subtle.ConstantTimeCompare(got[:], all[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
