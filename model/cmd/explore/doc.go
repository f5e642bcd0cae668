// Command explore explores the scenes of package model and prints what it
// found.
//
//	explore                            the quick scenes and mutants, minutes
//	explore -all                       all of them, hours
//	explore -scene 'wait:' -trace      scenes whose name contains this, with the way to a violation
//	explore -scene 'lock: fenced' -mutation biasfirst -trace
package main
