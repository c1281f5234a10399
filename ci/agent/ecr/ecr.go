package ecr

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Config holds what a [Client] can do without. The zero Config is Amazon.
type Config struct {
	// HTTP makes the calls; nil gives up after half a minute and follows the
	// proxy of the environment.
	HTTP *http.Client
	// Endpoint returns the address of the API for a registry, and its region;
	// false is that it is none of Amazon's. nil are Amazon's own.
	Endpoint func(registry string) (address, region string, ok bool)
}

// A Client asks for passwords. It is safe for concurrent use.
type Client struct{ cfg Config }

// New returns a client. It calls nobody.
func New(cfg Config) *Client {
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 30 * time.Second}
	}
	if cfg.Endpoint == nil {
		cfg.Endpoint = Amazon
	}
	return &Client{cfg}
}

// Amazon returns the address of the API for a registry with a name like
// 123456789012.dkr.ecr.eu-central-1.amazonaws.com, and its region.
func Amazon(registry string) (address, region string, ok bool) {
	m := regexp.MustCompile(`^[0-9]{12}\.dkr\.ecr(-fips)?\.([a-z]{2,4}(?:-[a-z]+)+-[0-9]+)\.amazonaws\.(com|com\.cn)$`).FindStringSubmatch(registry)
	switch {
	case m == nil:
		return "", "", false
	case m[1] != "":
		return "https://ecr-fips." + m[2] + ".amazonaws." + m[3], m[2], true
	}
	return "https://api.ecr." + m[2] + ".amazonaws." + m[3], m[2], true
}

// Password returns the password of the registry for the user AWS. It is good for
// twelve hours. What is wrong with the registry's name or the keys of auth is
// [ci.ErrInvalid], and says so without repeating a key; any other error may pass.
func (c *Client) Password(ctx context.Context, registry string, auth map[string]string) (string, error) {
	address, region, ok := c.cfg.Endpoint(registry)
	id, secret := auth["aws_access_key_id"], auth["aws_secret_access_key"]
	switch {
	case !ok:
		return "", fmt.Errorf("%.100q is no registry of Amazon, as in 123456789012.dkr.ecr.eu-central-1.amazonaws.com; other registries take auth: %w", registry, ci.ErrInvalid)
	case auth["oidc_role_arn"] != "":
		return "", fmt.Errorf("oidc_role_arn needs tokens that this installation does not give to jobs; write aws_access_key_id and aws_secret_access_key, as variables of a context: %w", ci.ErrInvalid)
	case id == "" || secret == "":
		return "", fmt.Errorf("aws_access_key_id and aws_secret_access_key are both needed, and one of them is empty: %w", ci.ErrInvalid)
	}
	const body = "{}"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(address, "/")+"/", strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("ask %s: %w: %w", address, err, ci.ErrInvalid)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
	sign(req, body, id, secret, auth["aws_session_token"], region, time.Now())
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask ECR for a password: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("ask ECR for a password: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return "", refusal(res.StatusCode, text)
	}
	return passwordIn(text)
}

// passwordIn reads the answer.
func passwordIn(text []byte) (string, error) {
	var answer struct {
		Data []struct {
			Token string `json:"authorizationToken"`
		} `json:"authorizationData"`
	}
	if json.Unmarshal(text, &answer) != nil || len(answer.Data) == 0 {
		return "", fmt.Errorf("ask ECR for a password: its answer holds none")
	}
	pair, err := base64.StdEncoding.DecodeString(answer.Data[0].Token)
	user, password, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok || user != "AWS" || password == "" {
		return "", fmt.Errorf("ask ECR for a password: its answer holds none for the user AWS")
	}
	return password, nil
}

// refusal says in words what Amazon calls by a code.
func refusal(status int, text []byte) error {
	var said struct {
		Type string `json:"__type"`
	}
	_ = json.Unmarshal(text, &said)
	code := said.Type[strings.LastIndexByte(said.Type, '#')+1:]
	words := map[string]string{
		"UnrecognizedClientException":  "Amazon does not know the aws_access_key_id",
		"InvalidClientTokenId":         "Amazon does not know the aws_access_key_id",
		"InvalidSignatureException":    "the aws_secret_access_key does not belong to the aws_access_key_id, or the clock of this machine is wrong",
		"IncompleteSignatureException": "the aws_access_key_id or the aws_secret_access_key holds characters that no key has",
		"AccessDeniedException":        "the keys lack the permission ecr:GetAuthorizationToken",
		"ExpiredTokenException":        "the keys have expired",
	}
	if w := words[code]; w != "" {
		return fmt.Errorf("%s: %w", w, ci.ErrInvalid)
	}
	if len(code) > 100 {
		code = code[:100]
	}
	err := fmt.Errorf("ask ECR for a password: it answers %d %q", status, code)
	if status == http.StatusBadRequest || status == http.StatusForbidden {
		return fmt.Errorf("%w: %w", err, ci.ErrInvalid)
	}
	return err
}
