// Package bustest helps to test programs that use package bus: private buses,
// and real processes that join them and can be killed.
//
//	func TestOrders(t *testing.T) {
//		b := bustest.New(t)                 // a bus of its own, gone after the test
//		p := bustest.Spawn(t, b, "trader")  // a process that has joined it
//		p.Expect("ready")                   // a line that it said
//		p.Kill()                            // kill -9
//	}
//
// The process is the test binary again, running a function that was registered
// under the name:
//
//	func TestMain(m *testing.M) {
//		bustest.Register("trader", func(ctx context.Context, c *bustest.Child) error {
//			c.Say("ready")
//			…
//		})
//		bustest.Main(m)
//	}
//
// A child ends with its test, however that ends: it watches its standard
// input, which the test binary holds open. What it writes to standard error
// appears in the test's log; standard output belongs to Say. Functions with a
// testing.TB fail the test and must be called from its goroutine; the others
// may be called from any.
package bustest
