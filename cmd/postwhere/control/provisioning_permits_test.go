package control

import (
	"net/http"
	"testing"

	"postwhere/cmd/postwhere/config"
)

// A listener that others reach asks for a token, also in the moment in which a reload
// has taken the token away and the listener is not closed yet.
func TestListenerForOthersWantsATokenThatThereIsNot(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/cache/flush?all", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[config.Listener]bool{
		{Network: "tcp", Address: "0.0.0.0:1"}: false, {Network: "tcp", Address: "127.0.0.1:1"}: true, {Network: "unix", Address: "/p"}: true,
	} {
		for _, auth := range []string{"", "Bearer", "Bearer "} {
			request.Header.Set("Authorization", auth)
			if got := (&provisioning{ProvisioningOptions: ProvisioningOptions{At: at, Token: func() string { return "" }}}).permits(request); got != want {
				t.Errorf("%s, %q: %v", at, auth, got)
			}
		}
	}
}
