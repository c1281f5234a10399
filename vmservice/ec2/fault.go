package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// verdicts say what the codes of EC2 mean, the first that fits. One that ends
// with a star is a prefix. They are of the API reference, "Error codes".
var verdicts = []struct {
	code    string
	class   vmservice.FaultClass
	setting string
	hint    string
}{
	{"InsufficientInstanceCapacity", vmservice.FaultCapacity, "", ""},
	{"InsufficientHostCapacity", vmservice.FaultCapacity, "", ""},
	{"InsufficientReservedInstanceCapacity", vmservice.FaultCapacity, "", ""},
	{"InsufficientCapacity", vmservice.FaultCapacity, "", ""},
	{"InsufficientVolumeCapacity", vmservice.FaultCapacity, "", ""},
	{"InsufficientFreeAddressesInSubnet", vmservice.FaultCapacity, "ec2_subnet_id", "the subnet has no free address: add another to subnets"},
	{"SpotMaxPriceTooLow", vmservice.FaultCapacity, "spot", ""},
	{"Unsupported", vmservice.FaultCapacity, "aws_instance_type", "this zone does not have the type: add a subnet of another zone to subnets, or a type to classes"},

	{"VcpuLimitExceeded", vmservice.FaultQuota, "", "raise the quota of vCPUs for this family of types in the console, under Service Quotas"},
	{"InstanceLimitExceeded", vmservice.FaultQuota, "", "raise the quota of instances in the console, under Service Quotas"},
	{"MaxSpotInstanceCountExceeded", vmservice.FaultQuota, "spot", "raise the quota of Spot requests, or take the kind from spot"},
	{"VolumeLimitExceeded", vmservice.FaultQuota, "", "raise the quota of volume storage in the console, under Service Quotas"},
	{"MaxIOPSLimitExceeded", vmservice.FaultQuota, "", ""},
	{"AttachmentLimitExceeded", vmservice.FaultQuota, "aws_instance_type", "the type takes no more volumes"},

	{"UnauthorizedOperation", vmservice.FaultSettings, "aws_authentication", "the role or user lacks the permission"},
	{"AuthFailure", vmservice.FaultSettings, "aws_authentication", "Amazon does not know the key, or the clock of this machine is wrong"},
	{"InvalidClientTokenId", vmservice.FaultSettings, "access_key", "Amazon does not know the key"},
	{"SignatureDoesNotMatch", vmservice.FaultSettings, "secret_key", "it does not belong to access_key"},
	{"UnrecognizedClientException", vmservice.FaultSettings, "aws_authentication", ""},
	{"RequestExpired", vmservice.FaultSettings, "aws_authentication", "the clock of this machine is wrong"},
	{"Blocked", vmservice.FaultSettings, "aws_authentication", "Amazon has blocked the account: ask its support"},
	{"OptInRequired", vmservice.FaultSettings, "aws_authentication", "the account is not subscribed to what it asks for"},
	{"PendingVerification", vmservice.FaultSettings, "aws_authentication", "Amazon still verifies the account"},
	{"InvalidAMIID*", vmservice.FaultSettings, "custom_vm_ami", "the region has no such image, or the account may not use it"},
	{"InvalidAMI*", vmservice.FaultSettings, "custom_vm_ami", ""},
	{"InvalidSubnet*", vmservice.FaultSettings, "ec2_subnet_id", "the region has no such subnet: is it of another region?"},
	{"InvalidGroup*", vmservice.FaultSettings, "ec2_security_group_id", "the region has no such group, or it is not of the subnet's VPC"},
	{"InvalidSecurityGroup*", vmservice.FaultSettings, "ec2_security_group_id", "the region has no such group, or it is not of the subnet's VPC"},
	{"InvalidInstanceType*", vmservice.FaultSettings, "aws_instance_type", "the region has no such type"},
	{"InvalidKmsKey*", vmservice.FaultSettings, "disk.kms_key", ""},
	{"KMS*", vmservice.FaultSettings, "disk.kms_key", ""},
	{"VPCIdNotSpecified", vmservice.FaultSettings, "ec2_subnet_id", ""},

	{"RequestLimitExceeded", vmservice.FaultTransient, "", ""},
	{"Throttling*", vmservice.FaultTransient, "", ""},
	{"ConcurrentTagAccess", vmservice.FaultTransient, "", ""},
	{"InternalError", vmservice.FaultTransient, "", ""},
	{"InternalFailure", vmservice.FaultTransient, "", ""},
	{"ServiceUnavailable", vmservice.FaultTransient, "", ""},
	{"Unavailable", vmservice.FaultTransient, "", ""},
	{"IncorrectInstanceState", vmservice.FaultTransient, "", ""},
	{"IncorrectState", vmservice.FaultTransient, "", ""},
	{"InvalidInstanceID.NotFound", vmservice.FaultTransient, "", ""},
	{"InvalidVolume.NotFound", vmservice.FaultTransient, "", ""},
	{"IdempotentParameterMismatch", vmservice.FaultTransient, "", ""},
}

// encoded is how Amazon hides from a caller why it may not do something.
var encoded = regexp.MustCompile(`(?s)\.? *Encoded authorization failure message: *(\S+)`)

// explain returns what an error of the SDK means, with the operation in front.
func explain(op string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return unanswered(op, err)
	}
	code, text := api.ErrorCode(), api.ErrorMessage()
	if m := encoded.FindStringSubmatch(text); m != nil {
		text = encoded.ReplaceAllString(text, "") + "; an administrator can read why: aws sts decode-authorization-message --encoded-message " + m[1]
	}
	f := &vmservice.Fault{Class: vmservice.FaultSettings, Code: code} // asking again does not help
	if status(err) >= http.StatusInternalServerError {
		f.Class = vmservice.FaultTransient
	}
	hint := ""
	for _, v := range verdicts {
		prefix, star := strings.CutSuffix(v.code, "*")
		if code == v.code || star && strings.HasPrefix(code, prefix) {
			f.Class, f.Setting, hint = v.class, v.setting, v.hint
			break
		}
	}
	if f.Setting == "" && f.Class == vmservice.FaultSettings && strings.Contains(strings.ToLower(text), "instance type") {
		f.Setting = "aws_instance_type"
	}
	if f.Setting != "" && f.Class == vmservice.FaultSettings {
		op += ": " + f.Setting
	}
	if hint != "" {
		text = hint + " (" + text + ")"
	}
	switch {
	case code == "UnauthorizedOperation":
		f.Err = fmt.Errorf("%s: %w: %s: %s", op, ci.ErrDenied, code, text)
	case f.Class == vmservice.FaultSettings:
		f.Err = fmt.Errorf("%s: %w: %s: %s", op, ci.ErrInvalid, code, text)
	default:
		f.Err = fmt.Errorf("%s: %s: %s", op, code, text)
	}
	if code == "RequestLimitExceeded" {
		f.After = 5 * time.Second // the bucket of RunInstances gets two tokens a second
	}
	return f
}

// unanswered explains an error before there was an answer of Amazon.
func unanswered(op string, err error) error {
	f := &vmservice.Fault{Class: vmservice.FaultTransient, Err: fmt.Errorf("%s: %w", op, err)}
	text := err.Error()
	for _, sign := range []string{"ec2imds", "EC2 IMDS", "ec2metadata", "get credentials", "GetIAMInfo"} {
		if strings.Contains(text, sign) {
			f.Class, f.Setting = vmservice.FaultSettings, "aws_authentication"
			f.Err = fmt.Errorf("%s: %w: aws_authentication is instance_profile and the metadata service of this machine gives no role: "+
				"attach one to the machine, let it answer with tokens (IMDSv2; hop limit 2 if the server runs in a container), or use keys: %w", op, ci.ErrInvalid, err)
			break
		}
	}
	return f
}

// status returns the HTTP status of the answer, 0 if there was none.
func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// is reports whether the error is of one of the codes; a final star is a
// prefix.
func is(err error, codes ...string) bool {
	var api smithy.APIError
	var f *vmservice.Fault
	code := ""
	switch {
	case errors.As(err, &f):
		code = f.Code
	case errors.As(err, &api):
		code = api.ErrorCode()
	}
	for _, c := range codes {
		prefix, star := strings.CutSuffix(c, "*")
		if code != "" && (code == c || star && strings.HasPrefix(code, prefix)) {
			return true
		}
	}
	return false
}

// class returns that of an error, "" if it is no fault.
func class(err error) vmservice.FaultClass {
	var f *vmservice.Fault
	if errors.As(err, &f) {
		return f.Class
	}
	return ""
}

// died says what it means that a machine ended by itself, in words for people:
// EC2 takes some launches and lets them die.
func died(code, message string) string {
	if code == "" {
		return message
	}
	text := code + ": " + strings.TrimPrefix(message, code+": ")
	switch code {
	case "Client.InternalError":
		text += " (mostly disk.kms_key: the role must be allowed to use it, kms:CreateGrant too)"
	case "Client.VolumeLimitExceeded":
		text += " (raise the quota of volume storage)"
	case "Server.InsufficientInstanceCapacity":
		text += " (no capacity in this zone now)"
	case "Server.SpotInstanceTermination", "Server.SpotInstanceShutdown":
		text += " (Amazon took the Spot machine back)"
	case "Client.InstanceInitiatedShutdown":
		text += " (it shut itself down: its longest life was over, or a job did it)"
	}
	return text
}

func isNotFound(err error) bool { return errors.Is(err, ci.ErrNotFound) }
