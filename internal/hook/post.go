package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"time"
)

// client follows no redirects: the operator has named one place.
var client = http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
}

// post asks the URL.
func (h Hook) post(ctx context.Context, c Call) (Answer, error) {
	body, err := json.Marshal(map[string]string{"service": c.Service, "service_id": c.ID})
	if err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", h.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	switch {
	case ctx.Err() != nil:
		return Answer{}, fmt.Errorf("the hook took too long and was given up: %w", ctx.Err())
	case err != nil:
		return Answer{}, fmt.Errorf("the hook does not answer: %w", err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	switch {
	case resp.StatusCode/100 != 2:
		return Answer{}, fmt.Errorf("the hook %s answers %s: %s", h.URL, resp.Status, complaint(out))
	case err != nil:
		return Answer{}, fmt.Errorf("the hook's answer breaks off: %w", err)
	case len(out) > MaxAnswer:
		return Answer{}, fmt.Errorf("the hook's answer is longer than %d bytes", MaxAnswer)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return Answer{TTL: DefaultTTL}, nil
	}
	return ParseJSON(out)
}

// ParseJSON reads what a callback answers: an object that may have "forward", a
// list of addresses, and "ttl_s", seconds. Nothing at all is an answer too.
func ParseJSON(b []byte) (Answer, error) {
	var said struct {
		Forward []netip.AddrPort `json:"forward"`
		TTL     float64          `json:"ttl_s"`
	}
	if len(bytes.TrimSpace(b)) > 0 {
		if err := json.Unmarshal(b, &said); err != nil {
			return Answer{}, fmt.Errorf("the hook's answer is not the JSON it should be: %w", err)
		}
	}
	if !(said.TTL >= 0 && said.TTL <= MaxTTL.Seconds()) {
		return Answer{}, errors.New("the hook gives a ttl_s that is negative or longer than a day")
	}
	return Answer{Forward: said.Forward, TTL: time.Duration(said.TTL * float64(time.Second))}.checked()
}
