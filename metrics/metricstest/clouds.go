package metricstest

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/aws/smithy-go/encoding/cbor"
)

// DataDog is the intake of DataDog with its documented limits: it answers 202
// to series that it would take, 403 to another key, 413 to a request that is
// too large and 400 to one that it cannot read. It is safe for concurrent use.
type DataDog struct {
	*httptest.Server
	Key string

	mu     sync.Mutex
	status int
	header http.Header
	series []DataDogSeries
}

// DataDogSeries is one series as it came.
type DataDogSeries struct {
	Metric   string
	Type     int
	Interval int64
	Points   []struct {
		Timestamp int64
		Value     float64
	}
	Resources []struct{ Type, Name string }
	Tags      []string
}

// NewDataDog starts an intake that takes the key. Close ends it.
func NewDataDog(key string) *DataDog {
	d := &DataDog{Key: key}
	d.Server = httptest.NewServer(d)
	return d
}

// Answer makes all answers this status with these headers; 0 is normal again.
func (d *DataDog) Answer(status int, header http.Header) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status, d.header = status, header
}

// Series returns what was taken.
func (d *DataDog) Series() []DataDogSeries {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]DataDogSeries(nil), d.series...)
}

// ServeHTTP implements the intake.
func (d *DataDog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	packed, err := io.ReadAll(io.LimitReader(r.Body, 512_001))
	switch {
	case d.status != 0:
		for k, v := range d.header {
			w.Header()[k] = v
		}
		w.WriteHeader(d.status)
		return
	case r.URL.Path != "/api/v2/series" || r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Header.Get("DD-API-KEY") != d.Key:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":["Forbidden"]}`)
		return
	case len(packed) > 512_000:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	plain := packed
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, zerr := gzip.NewReader(strings.NewReader(string(packed)))
		if err = zerr; err == nil {
			plain, err = io.ReadAll(io.LimitReader(z, 5_242_881))
		}
	}
	var body struct{ Series []DataDogSeries }
	if err == nil && len(plain) <= 5_242_880 {
		err = json.Unmarshal(plain, &body)
	}
	for _, s := range body.Series {
		if s.Metric == "" || len(s.Points) == 0 || s.Type < 0 || s.Type > 3 || s.Type == 1 && s.Interval <= 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	switch {
	case len(plain) > 5_242_880:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case err != nil || len(body.Series) == 0:
		w.WriteHeader(http.StatusBadRequest)
	default:
		d.series = append(d.series, body.Series...)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"errors":[]}`)
	}
}

// CloudWatch is PutMetricData of Amazon with its documented limits, in the
// protocol that today's clients speak (rpc-v2-cbor). It is safe for concurrent
// use.
type CloudWatch struct {
	*httptest.Server

	mu    sync.Mutex
	fault string
	got   []CloudWatchDatum
	auth  []string
}

// CloudWatchDatum is one figure as it came.
type CloudWatchDatum struct {
	Namespace, Name, Unit string
	Dimensions            map[string]string
	Value                 float64
	Values, Counts        []float64
}

// NewCloudWatch starts one. Close ends it.
func NewCloudWatch() *CloudWatch {
	c := &CloudWatch{}
	c.Server = httptest.NewServer(c)
	return c
}

// Fail makes all answers this error code; "" is normal again.
func (c *CloudWatch) Fail(code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = code
}

// Data returns what was taken, and the Authorization headers that came.
func (c *CloudWatch) Data() ([]CloudWatchDatum, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]CloudWatchDatum(nil), c.got...), append([]string(nil), c.auth...)
}

// ServeHTTP implements PutMetricData.
func (c *CloudWatch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth = append(c.auth, r.Header.Get("Authorization"))
	w.Header().Set("smithy-protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	fail := func(status int, code, text string) {
		w.WriteHeader(status)
		_, _ = w.Write(cbor.Encode(cbor.Map{"__type": cbor.String(code), "message": cbor.String(text)}))
	}
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			fail(400, "InvalidParameterValue", "body")
			return
		}
		in = z
	}
	text, err := io.ReadAll(in)
	if err != nil || len(text) > 1<<20 {
		fail(413, "RequestEntityTooLarge", "1 MB")
		return
	}
	if c.fault != "" {
		status := 400
		if strings.HasPrefix(c.fault, "Internal") {
			status = 500
		}
		fail(status, c.fault, "as the test wants")
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/operation/PutMetricData") {
		fail(404, "UnknownOperation", r.URL.Path)
		return
	}
	v, err := cbor.Decode(text)
	body, ok := v.(cbor.Map)
	if err != nil || !ok {
		fail(400, "InvalidParameterValue", "not a map")
		return
	}
	data, bad := readData(body)
	if bad != "" {
		fail(400, "InvalidParameterValue", bad)
		return
	}
	c.got = append(c.got, data...)
	_, _ = w.Write(cbor.Encode(cbor.Map{}))
}

// readData reads a request, and says what of it is beyond a limit.
func readData(body cbor.Map) (all []CloudWatchDatum, bad string) {
	namespace := textOf(body["Namespace"])
	list, _ := body["MetricData"].(cbor.List)
	switch {
	case namespace == "" || strings.HasPrefix(namespace, "AWS/"):
		return nil, "Namespace"
	case len(list) == 0 || len(list) > 1000:
		return nil, "MetricData"
	}
	for _, v := range list {
		m, _ := v.(cbor.Map)
		d := CloudWatchDatum{Namespace: namespace, Name: textOf(m["MetricName"]), Unit: textOf(m["Unit"]), Dimensions: map[string]string{}, Values: numbers(m["Values"]), Counts: numbers(m["Counts"])}
		if one := numbers(cbor.List{m["Value"]}); m["Value"] != nil {
			d.Value = one[0]
		}
		dims, _ := m["Dimensions"].(cbor.List)
		for _, x := range dims {
			pair, _ := x.(cbor.Map)
			d.Dimensions[textOf(pair["Name"])] = textOf(pair["Value"])
		}
		for k, x := range d.Dimensions {
			if k == "" || x == "" || len(k) > 255 || len(x) > 1024 {
				return nil, "Dimensions"
			}
		}
		switch {
		case d.Name == "" || len(d.Name) > 255:
			return nil, "MetricName"
		case len(dims) > 30:
			return nil, "Dimensions"
		case len(d.Values) > 150 || len(d.Values) != len(d.Counts):
			return nil, "Values"
		case m["Value"] == nil && len(d.Values) == 0:
			return nil, "Value"
		}
		for _, x := range append(d.Values, d.Value) {
			if math.IsNaN(x) || math.Abs(x) > math.Ldexp(1, 360) {
				return nil, "Value"
			}
		}
		all = append(all, d)
	}
	return all, ""
}

func textOf(v cbor.Value) string {
	s, _ := v.(cbor.String)
	return string(s)
}

func numbers(v cbor.Value) []float64 {
	list, _ := v.(cbor.List)
	var all []float64
	for _, x := range list {
		switch n := x.(type) {
		case cbor.Float64:
			all = append(all, float64(n))
		case cbor.Float32:
			all = append(all, float64(n))
		case cbor.Uint:
			all = append(all, float64(n))
		case cbor.NegInt:
			all = append(all, -float64(n))
		}
	}
	return all
}
