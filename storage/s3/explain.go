package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// errNoBucket is kept apart from a missing object: who asks for a file of a
// bucket that is gone must not believe that the file is not there.
var errNoBucket = errors.New("there is no such bucket; make it, or mend storage.s3.bucket")

// explaining makes each call explain its error, after the last attempt.
func (c Config) explaining(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("rondo/explain",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			out, md, err := next.HandleInitialize(ctx, in)
			return out, md, c.explain(err)
		}), middleware.Before)
}

// explain says what to do about an error of the server.
func (c Config) explain(err error) error {
	if err == nil {
		return nil
	}
	code, status, region := "", 0, ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var reply *awshttp.ResponseError
	if errors.As(err, &reply) && reply.Response != nil {
		status = reply.HTTPStatusCode()
		region = reply.Response.Header.Get("X-Amz-Bucket-Region")
	}
	advice := ""
	switch {
	case code == "NoSuchBucket":
		return fmt.Errorf("bucket %s: %w", c.Bucket, errNoBucket)
	case status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect || code == "AuthorizationHeaderMalformed":
		advice = fmt.Sprintf("the bucket is not in region %s; set storage.s3.region", c.Region)
		if region != "" {
			advice += " to " + region
		}
	case code == "ExpiredToken" || code == "TokenRefreshRequired" || code == "InvalidToken":
		advice = "the credentials have expired; renew those that the server was started with"
	case code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch":
		advice = "the server does not accept access key and secret key; see storage.s3.access_key and secret_key"
	case code == "RequestTimeTooSkewed":
		advice = "the clock of this machine is wrong"
	case status == http.StatusForbidden:
		advice = "the policy of the bucket denies it; allow s3:GetObject, PutObject, DeleteObject, ListBucket, AbortMultipartUpload, ListBucketMultipartUploads and ListMultipartUploadParts"
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		advice = fmt.Sprintf("the object store is overloaded or away, after %d attempts", attempts)
	default:
		return err
	}
	return fmt.Errorf("%s: %w", advice, err)
}
