-- What miltertest(8), a client that knows nothing of postwhere, makes of its
-- milter. It is told where the milter listens by -D socket=...

local function want(what, got, wanted)
	if got ~= wanted then
		error(what .. ": got " .. tostring(got) .. ", want " .. tostring(wanted))
	end
end

local function ok(what, got)
	if got ~= nil then
		error(what .. ": " .. tostring(got))
	end
end

-- begin returns a connection in a message.
local function begin(version, actions, steps)
	local conn = mt.connect(socket)
	if conn == nil then
		error("no connection to " .. socket)
	end
	ok("negotiation", mt.negotiate(conn, version, actions, steps))
	ok("client", mt.conninfo(conn, "client.example", "192.0.2.7"))
	ok("HELO", mt.helo(conn, "client.example"))
	mt.macro(conn, SMFIC_MAIL, "{auth_authen}", "anna")
	ok("sender", mt.mailfrom(conn, "<s@src.example>", "SIZE=100"))
	return conn
end

local function rcpt(conn, address, reply)
	mt.macro(conn, SMFIC_RCPT, "i", "4Zx", "{rcpt_mailer}", "relay", "{rcpt_addr}", "x@example.com")
	ok(address, mt.rcptto(conn, address, "NOTIFY=NEVER"))
	want(address, mt.getreply(conn), reply)
end

local function recipients(conn)
	rcpt(conn, "<anna@example.com>", SMFIR_CONTINUE)
	rcpt(conn, "<nobody@example.com>", SMFIR_REPLYCODE)
	rcpt(conn, "<later@example.com>", SMFIR_REPLYCODE)
	rcpt(conn, "<fault@example.com>", SMFIR_REPLYCODE)
	rcpt(conn, "<x@elsewhere.example>", SMFIR_CONTINUE)
	rcpt(conn, "<bert@example.com>", SMFIR_CONTINUE)
end

-- The end of a message; the milter has said that it does not want to see more of it.
local function message(conn)
	want("headers", pcall(mt.header, conn, "Subject", "Hello"), false)
	ok("end", mt.eom(conn))
	want("end", mt.getreply(conn), SMFIR_ACCEPT)
end

local function main()
	local conn = begin(nil, nil, nil)
	for _, step in pairs({ SMFIP_NOBODY, SMFIP_NOHDRS, SMFIP_NOEOH, SMFIP_NODATA, SMFIP_NOUNKNOWN, SMFIP_NR_CONN, SMFIP_NR_HELO, SMFIP_NR_MAIL }) do
		want("step", mt.test_option(conn, step), true)
	end
	for _, step in pairs({ SMFIP_NORCPT, SMFIP_NR_RCPT, SMFIP_RCPT_REJ, SMFIP_SKIP }) do
		want("step", mt.test_option(conn, step), false)
	end
	want("action", mt.test_action(conn, SMFIF_CHGHDRS), false)
	want("action", mt.test_action(conn, SMFIF_ADDHDRS), true)
	recipients(conn)
	message(conn)
	want("trace header", mt.eom_check(conn, MT_HDRINSERT, "X-Postwhere", "anna@example.com mail1,\n\tbert@example.com mail1", 0), true)

	-- Another message on the same connection, that is given up, and a third.
	ok("sender", mt.mailfrom(conn, "<>"))
	recipients(conn)
	ok("abort", mt.abort(conn))
	ok("sender", mt.mailfrom(conn, "<>"))
	recipients(conn)
	message(conn)
	mt.disconnect(conn, true)

	-- An MTA of the year 2001. (Steps come before actions, whatever the manual says.)
	conn = begin(2, 0x7f, 0)
	recipients(conn)
	message(conn)
	want("trace header", mt.eom_check(conn, MT_HDRINSERT), false)
	mt.disconnect(conn, false)

	-- One that can leave nothing out.
	conn = begin(2, 0, 0)
	recipients(conn)
	ok("header", mt.header(conn, "Subject", "Hello"))
	want("header", mt.getreply(conn), SMFIR_CONTINUE)
	ok("end of headers", mt.eoh(conn))
	want("end of headers", mt.getreply(conn), SMFIR_CONTINUE)
	ok("body", mt.bodystring(conn, "Hello.\r\n"))
	want("body", mt.getreply(conn), SMFIR_CONTINUE)
	ok("end", mt.eom(conn))
	want("end", mt.getreply(conn), SMFIR_ACCEPT)
	mt.disconnect(conn, true)
end

local good, why = pcall(main)
if not good then
	mt.echo(why) -- miltertest itself does not say it
	error(why)
end
