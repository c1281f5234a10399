package engine_test
import ("testing";"context";"time";"fmt";"sync";"path/filepath"
"github.com/rondo-ci/rondo/ci"
"github.com/rondo-ci/rondo/ci/agent"
"github.com/rondo-ci/rondo/ci/api/door"
"github.com/rondo-ci/rondo/ci/config"
"github.com/rondo-ci/rondo/cmd/internal/engine"
"github.com/rondo-ci/rondo/scheduler"
"github.com/rondo-ci/rondo/scheduler/local"
"github.com/rondo-ci/rondo/storage"
"github.com/rondo-ci/rondo/storage/sqldb"
)
type tm struct{ *door.Door; mu sync.Mutex; m map[string]time.Duration; n map[string]int; t0 time.Time; log []string; on bool }
func (t *tm) add(k string, s time.Time){ t.mu.Lock(); t.m[k]+=time.Since(s); t.n[k]++; if t.on { t.log=append(t.log, fmt.Sprintf("%-10s %8.3f..%8.3f",k,float64(s.Sub(t.t0).Microseconds())/1e3,float64(time.Since(t.t0).Microseconds())/1e3)) }; t.mu.Unlock() }
func (t *tm) Claim(ctx context.Context, a ci.TaskID, e int64, w string)(ci.Work,error){ s:=time.Now(); defer t.add("claim",s); return t.Door.Claim(ctx,a,e,w)}
func (t *tm) PutStep(ctx context.Context,l ci.Lease,x ci.Step)error{ s:=time.Now(); defer func(){t.add("putstep"+fmt.Sprint(x.Index,x.Status),s)}(); return t.Door.PutStep(ctx,l,x)}
func (t *tm) Append(ctx context.Context,l ci.Lease,step int,o int64,d []byte)(int64,error){ s:=time.Now(); defer func(){t.add("append"+fmt.Sprint(step),s)}(); return t.Door.Append(ctx,l,step,o,d)}
func (t *tm) Finish(ctx context.Context,l ci.Lease,r ci.Report)error{ s:=time.Now(); defer t.add("finish",s); return t.Door.Finish(ctx,l,r)}
func TestTiming(t *testing.T){
	dir := t.TempDir()
	db, _ := sqldb.Open(t.Context(), filepath.Join(dir, "db"), sqldb.Config{})
	bucket, _ := storage.OpenDir(filepath.Join(dir, "files"))
	logs, _ := storage.OpenLogs(filepath.Join(dir, "logs"), storage.LogsConfig{Bucket: bucket})
	var e *engine.Engine
	x:=&tm{m:map[string]time.Duration{},n:map[string]int{}}
	e = engine.New(engine.Parts{
		DB: db, Backlog: db.Backlog(), Logs: logs, Files: storage.NewFiles(bucket, storage.FilesConfig{}), Key: make(door.Key, 32),
		Compiler: ci.CompilerFunc(func(ctx context.Context, project ci.Project, p ci.Pipeline) (ci.Plan, error) {
			s:=time.Now(); defer x.add("compile",s)
			return config.Compile(ctx, []byte(trivial), config.Options{Values: engine.Values(project, p)})
		}),
		Start: local.Func(func(ctx context.Context, p scheduler.Placement) error {
			s:=time.Now(); defer x.add("agentrun",s)
			x.Door=e.Door
			return agent.New(x, x, agent.Config{Dir: filepath.Join(dir, "work")}).Run(ctx, p.Task.ID, p.Epoch)
		}),
	}, engine.Config{Cluster: local.Config{Dir: filepath.Join(dir, "agents")}})
	db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main"})
	ctx, stop := context.WithCancel(context.Background())
	done:=make(chan int); go func(){ e.Run(ctx); close(done)}()
	for i:=range 60 { if i==58 {x.on=true}; x.t0=time.Now(); s:=time.Now(); build(t,e); x.add("total",s); e.Idle(ctx); time.Sleep(5*time.Millisecond) }
	for k,v:=range x.m { fmt.Printf("%-20s %v\n",k,v/time.Duration(x.n[k])) }
	for _,l:=range x.log { fmt.Println(l) }
	stop(); <-done
}
