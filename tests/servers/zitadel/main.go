// The example server of zitadel/oidc, with clients, users and a lifetime of the test's.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The example's tokens live 5 minutes: this one says that they live shorter.
type shorter struct {
	*storage.Storage
	life time.Duration
}

func (s shorter) CreateAccessToken(ctx context.Context, request op.TokenRequest) (string, time.Time, error) {
	id, _, err := s.Storage.CreateAccessToken(ctx, request)
	return id, time.Now().Add(s.life), err
}

func (s shorter) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	id, refresh, _, err := s.Storage.CreateAccessAndRefreshTokens(ctx, request, current)
	return id, refresh, time.Now().Add(s.life), err
}

func main() {
	storage.RegisterClients(
		storage.WebClient("client", os.Getenv("SECRET"), "http://localhost/"),
		storage.WebClient("odd", os.Getenv("ODD_SECRET"), "http://localhost/"),
	)
	port := os.Getenv("PORT")
	life, err := strconv.Atoi(os.Getenv("LIFE"))
	if err != nil {
		panic(err)
	}
	// Its users are test-user@localhost and another one.
	issuer := "http://localhost:" + port + "/"
	store := shorter{storage.NewStorage(storage.NewUserStore(issuer)), time.Duration(life) * time.Second}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	router := exampleop.SetupServer(issuer, store, logger, false)
	panic(http.ListenAndServe("127.0.0.1:"+port, router))
}
