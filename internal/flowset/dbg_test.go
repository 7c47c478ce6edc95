package flowset
import ("testing";"time";"os";"strings";"strconv")
func TestDbg(t *testing.T){
	const rate, rtt = 100e6 / 8, 20 * time.Millisecond
	kinds:=os.Getenv("KINDS"); q,_:=strconv.Atoi(os.Getenv("Q")); n,_:=strconv.Atoi(os.Getenv("N")); step,_:=strconv.Atoi(os.Getenv("STEP"))
	seed,_:=strconv.Atoi(os.Getenv("SEED"))
		w := &world{now: 1e9}
		link := w.newWire(uint64(seed), rate, rtt/2)
		link.queue=rate*float64(q)/1000
		rs := bottleneck(w, link, rtt, uint64(seed)*31+1, strings.Fields(kinds)...)
		for i:=range n { 
		for _,r:=range rs { r.from=r.got()}
		link.resetStats()
		w.run(w.now.Add(time.Duration(step)*time.Millisecond), never)
		for _,r:=range rs { 
		 t.Logf("%d %s %.1f q %v drop %d %s", i*step, r.name, float64(r.got()-r.from)*8/1e3/float64(step), link.meanWait().Round(1e5), link.dropped,r.debug())} }
}
