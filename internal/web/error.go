package web

import (
	"fmt"
	"net/http"
	"time"
)

// Error is what a reader is told when there is no page for him. It is comparable.
type Error struct {
	Status int
	Text   Text // one or two sentences: what is wrong and what to do
	retry  time.Duration
	allow  string
}

func (e Error) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Text.EN) }

// Refuse is an Error.
func Refuse(status int, t Text) error { return Error{Status: status, Text: t} }

// The errors that pages share.
var (
	BadRequest = Error{Status: http.StatusBadRequest, Text: Text{
		EN: "This request cannot be read.", JA: "リクエストを読み取れません。"}}
	NotFound = Error{Status: http.StatusNotFound, Text: Text{
		EN: "There is no such page here.", JA: "このページはありません。"}}
	TooLarge = Error{Status: http.StatusRequestEntityTooLarge, Text: Text{
		EN: "What was sent is too large.", JA: "送信されたデータが大きすぎます。"}}
	Busy = Error{Status: http.StatusServiceUnavailable, Text: Text{
		EN: "This takes too long at the moment. Please try again later.", JA: "現在、処理に時間がかかりすぎています。しばらくしてからもう一度お試しください。"}}

	badMethod = Error{Status: http.StatusMethodNotAllowed, Text: Text{
		EN: "This page does not take such a request.", JA: "このページはこの種類のリクエストを受け付けません。"}}
	longTarget = Error{Status: http.StatusRequestURITooLong, Text: Text{
		EN: "The address of this page is too long.", JA: "ページのアドレスが長すぎます。"}}
	otherSite = Error{Status: http.StatusForbidden, Text: Text{
		EN: "This was sent from a page of another site, and nothing was done.", JA: "他のサイトのページから送信されたため、処理しませんでした。"}}
	otherHost = Error{Status: http.StatusMisdirectedRequest, Text: Text{
		EN: "This server has no site of that name.", JA: "このサーバに、その名前のサイトはありません。"}}
	failed = Error{Status: http.StatusInternalServerError, Text: Text{
		EN: "Something failed here; it is not your fault. Please try again later.", JA: "内部で問題が発生しました。しばらくしてからもう一度お試しください。"}}
)

// problem is an Error for a machine (RFC 9457).
func problem(r *Request, title Text, e Error) *Reply {
	reply, err := JSON(map[string]any{"status": e.Status, "title": title.In(r.Lang), "detail": e.Text.In(r.Lang)})
	if err != nil { // texts and a number can be written
		return Raw("text/plain; charset=utf-8", []byte(e.Text.In(r.Lang)))
	}
	reply.kind, reply.Header = "application/problem+json", http.Header{"Content-Language": {r.Lang}}
	return reply
}

// tooMany is the Error of who asked too often.
func tooMany(wait time.Duration) error {
	return Error{Status: http.StatusTooManyRequests, retry: wait, Text: Text{
		EN: "Your network has asked very often. Please wait a little.", JA: "お使いのネットワークからのリクエストが多すぎます。少し待ってからお試しください。"}}
}
