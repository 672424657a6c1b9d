/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parser of the policy language: what it makes of every key, and for each error that it
 * knows, the exact place. In the texts here ' stands for " and ^ for ', and where an error is
 * expected, @ is put in front of the place and taken out before the text is parsed.
 */

#include "policy/parse.h"
#include "policy/utf8.h"

#include <check.h>
#include <stdio.h>

#define RULE_HEAD                                                                                  \
	"{'version':1,'rules':[\n"                                                                 \
	" {'id':'r','subjects':[{'users':['*']}],'devices':[{'address':'*'}],'allow':['acquire']," \
	"\n"
#define RULE(keys) RULE_HEAD keys "}]}"
#define SUBJECT(subjects)                                      \
	"{'version':1,'rules':[{'id':'r','subjects':" subjects \
	",'devices':[{'address':'*'}],'allow':['acquire']}]}"
#define DEVICES(devices)                                                                \
	"{'version':1,'pools':{'nics':{'devices':[{'class':'02'}]}},'rules':[{'id':'r'" \
	",'subjects':[{'users':'*'}],'devices':" devices ",'allow':['acquire']}]}"

struct text {
	char *s;
	size_t n;
	unsigned int line, column; /* of the @ */
};

static struct text text_make(const char *source, size_t n)
{
	struct text text = { .s = malloc(n + 1) };
	unsigned int line = 1, column = 1;

	ck_assert_ptr_nonnull(text.s);
	for (size_t i = 0; i < n; i++) {
		char c = source[i];

		if (c == '@') {
			ck_assert_msg(!text.line, "two places in: %s", source);
			text.line = line;
			text.column = column;
			continue;
		}
		text.s[text.n++] = (char)(c == '\'' ? '"' : c == '^' ? '\'' : c);
		if (c == '\n') {
			line++;
			column = 1;
		} else if ((c & 0xc0) != 0x80) {
			column++;
		}
	}
	return text;
}

/* Parses texts as the files 1.json, 2.json, … */
static int parse_texts(const char *const *sources, size_t n, struct policy **policy,
		       struct policy_error *error, struct text *place)
{
	static const char *const paths[] = { "/p/1.json", "/p/2.json", "/p/3.json" };
	struct policy_file files[3] = { 0 };
	struct text texts[3] = { 0 };
	int r;

	ck_assert_uint_le(n, 3);
	for (size_t i = 0; i < n; i++) {
		char *exact;

		texts[i] = text_make(sources[i], strlen(sources[i]));
		/* Of exactly its size, so that a sanitizer sees each read beyond it. */
		exact = malloc(texts[i].n);
		memcpy(exact, texts[i].s, texts[i].n);
		files[i] = (struct policy_file){ paths[i], exact, texts[i].n };
		if (place && texts[i].line)
			*place = texts[i];
	}
	r = policy_parse(files, n, policy, error);
	for (size_t i = 0; i < n; i++) {
		free(texts[i].s);
		free((char *)files[i].text);
	}
	return r;
}

static struct policy *parse_good(const char *source)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	struct policy *policy = NULL;
	int r = parse_texts(&source, 1, &policy, &error, NULL);

	ck_assert_msg(r == 0, "%s: %s", source, error.message);
	ck_assert_ptr_null(error.message);
	return policy;
}

struct bad {
	const char *source;
	size_t size;
	const char *message;
};
#define BAD(source, message)                        \
	{                                           \
		source, sizeof(source) - 1, message \
	}

static void check_bad(const struct bad *bad)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	struct text text = text_make(bad->source, bad->size);
	char *exact = malloc(text.n);
	struct policy_file file = { "/p/a.json", exact, text.n };
	struct policy *policy = NULL;
	char expected[512];
	int r;

	memcpy(exact, text.s, text.n);
	r = policy_parse(&file, 1, &policy, &error);
	ck_assert_msg(r == -EBADMSG, "%d for: %s", r, bad->source);
	ck_assert_ptr_null(policy);
	ck_assert_msg(text.line, "no place in: %s", bad->source);
	snprintf(expected, sizeof(expected), "/p/a.json:%u:%u: %s", text.line, text.column,
		 bad->message);
	ck_assert_str_eq(error.message, expected);
	ck_assert(utf8_is_printable(error.message));
	free(text.s);
	free(exact);
}

static const struct bad syntax[] = {
	BAD(" \n@", "the file ends where a value is expected"),
	BAD("{'version':1@", "the file ends where ',' or '}' is expected"),
	BAD("{'version':1,\n@", "the file ends where a key in double quotes is expected"),
	BAD("{'version'@", "the file ends where ':' is expected"),
	BAD("{'version':@", "the file ends where a value is expected"),
	BAD("{'version' @1}", "'1' where ':' is expected"),
	BAD("{'version':1 @'rules':[]}", "'\"' where ',' or '}' is expected"),
	BAD("{@version:1}", "'v' where a key in double quotes is expected"),
	BAD("{'version':1,@}", "JSON has no ',' after the last member"),
	BAD("{@,'version':1}", "',' where a key in double quotes is expected"),
	BAD("{'version':1,'rules':[1,@]}", "JSON has no ',' after the last element"),
	BAD("{'version':1,'rules':[1 @2]}", "'2' where ',' or ']' is expected"),
	BAD("{'version':1,'rules':[@,]}", "',' where a value is expected"),
	BAD("{'version':1}@}", "'}' where the end of the file is expected"),
	BAD("{'version':1}\n@{'version':1}", "'{' where the end of the file is expected"),
	BAD("{'version':1} @x", "'x' where the end of the file is expected"),
	BAD("@^version^", "strings are written with double quotes, not single ones"),
	BAD("{@^version^:1}", "strings are written with double quotes, not single ones"),
	BAD("{'version':@^1^}", "strings are written with double quotes, not single ones"),
	BAD("@// x\n{'version':1}", "JSON has no comments"),
	BAD("{'version':1 @/* x */}", "JSON has no comments"),
	BAD("{'version':1}\n@# x", "JSON has no comments"),
	BAD("{'version':@null}", "null is no value here: leave the key out instead"),
	BAD("{'version':@NaN}", "\"NaN\" is no value; text is written in double quotes"),
	BAD("{'version':@Infinity}", "\"Infinity\" is no value; text is written in double quotes"),
	BAD("{'version':@-Infinity}", "a number must have digits after its sign"),
	BAD("{'version':@TRUE}", "\"TRUE\" is no value; text is written in double quotes"),
	BAD("{'version':true@1}", "'1' where ',' or '}' is expected"),
	BAD("{'version':@+1}", "'+' where a value is expected"),
	BAD("{'version':@.5}", "'.' where a value is expected"),
	BAD("{'version':@01}", "a number must not begin with 0"),
	BAD("{'version':@1.0}", "numbers must be whole, without point and exponent"),
	BAD("{'version':@1e0}", "numbers must be whole, without point and exponent"),
	BAD("{'version':@1E400}", "numbers must be whole, without point and exponent"),
	BAD("{'version':@-0}", "-0 is not a number here"),
	BAD("{'version':1@x}", "'x' where ',' or '}' is expected"),
	BAD("{'version':@9223372036854775808}", "the number is too big"),
	BAD("{'version':@-9223372036854775809}", "the number is too big"),
	BAD("{'version':@18446744073709551616}", "the number is too big"),
	BAD("{'version':@99999999999999999999999999}", "the number is too big"),
	BAD("{'version':1,@'version':1}", "key \"version\" is here twice, first at 1:2"),
	BAD("{'version':1,\n @'\\u0076ersion':1}", "key \"version\" is here twice, first at 1:2"),
	BAD("{'a':1,'b':1,'a\\u0301':1,@'b':1,'a':1}", "key \"b\" is here twice, first at 1:8"),
	BAD("{'version':1,'pools':{'x':{'\xc3\xa9':1,@'\\u00e9':1}}}",
	    "key \"\xc3\xa9\" is here twice, first at 1:28"),
	BAD("{'\xf0\x9f\x98\x80':1,@'\\ud83d\\ude00':1}",
	    "key \"\xf0\x9f\x98\x80\" is here twice, first at 1:2"),
	BAD("{'\xe2\x82\xac':1,@'\\u20AC':1}", "key \"\xe2\x82\xac\" is here twice, first at 1:2"),
	BAD("{@'version:1}", "the string that begins here does not end"),
	BAD("{@'version:1\n}", "the string that begins here does not end on its line"),
	BAD("{@'version", "the string that begins here does not end"),
	BAD("{'a@\\x':1}", "unknown escape after the backslash"),
	BAD("{'a@\\", "unknown escape after the backslash"),
	BAD("{'a@\\\0':1}", "unknown escape after the backslash"),
	BAD("{'a@\\u12':1}", "\\u must be followed by four hexadecimal digits"),
	BAD("{'a@\\u12G4':1}", "\\u must be followed by four hexadecimal digits"),
	BAD("{'a@\\u", "\\u must be followed by four hexadecimal digits"),
	BAD("{'a@\\ud800':1}", "\\ud800 is half of a pair, and the other half is not there"),
	BAD("{'a@\\udc00\\ud800':1}", "\\udc00 is half of a pair, and the other half is not there"),
	BAD("{'a@\\ud800\\u0041':1}", "\\ud800 is half of a pair, and the other half is not there"),
	BAD("{'a@\\u0000':1}", "control character U+0000 in a string"),
	BAD("{'a@\\n':1}", "control character U+000A in a string"),
	BAD("{'a@\\u001b':1}", "control character U+001B in a string"),
	BAD("{'a@\\u009b':1}", "control character U+009B in a string"),
	BAD("{'a@\t':1}", "control character U+0009 in a string"),
	BAD("{'a@\0':1}", "control character U+0000 in a string"),
	BAD("{'a@\x7f':1}", "control character U+007F in a string"),
	BAD("{'a@\xc2\x9b':1}", "control character U+009B in a string"),
	BAD("{@\0'a':1}", "control character U+0000 where a key in double quotes is expected"),
	BAD("{'version':1}@\0", "control character U+0000 where the end of the file is expected"),
	BAD("@\xef\xbb\xbf{'version':1}", "a byte order mark (U+FEFF) does not belong here"),
	BAD("{'a@\xff':1}", "byte 0xff is not valid UTF-8"),
	BAD("{'\xc3\xa9\xc3\xa9@\x80':1}", "byte 0x80 is not valid UTF-8"),
	BAD("{'a@\xc0\x80':1}", "byte 0xc0 is not valid UTF-8"),
	BAD("{'a@\xe0\x80\x80':1}", "byte 0xe0 is not valid UTF-8"),
	BAD("{'a@\xed\xa0\x80':1}", "byte 0xed is not valid UTF-8"),
	BAD("{'a@\xf4\x90\x80\x80':1}", "byte 0xf4 is not valid UTF-8"),
	BAD("{'a@\xe2\x82':1}", "byte 0xe2 is not valid UTF-8"),
	BAD("{'a@\xe2\x82", "byte 0xe2 is not valid UTF-8"),
	BAD("{'version':1 @\xff}", "byte 0xff is not valid UTF-8"),
	BAD("{'version':1 @\xc3\xa9}", "'\xc3\xa9' where ',' or '}' is expected"),
	BAD("{'a':[[[[[[[[[[[[[[[@[1]]]]]]]]]]]]]]]]}", "more than 16 levels of nesting"),
	BAD("{'a':[[[[[[[[[[[[[[[@{}]]]]]]]]]]]]]]]}", "more than 16 levels of nesting"),
};

static const struct bad top[] = {
	BAD("@[]", "the file must hold an object, not this array"),
	BAD("@1", "the file must hold an object, not this number"),
	BAD("@'x'", "the file must hold an object, not this string"),
	BAD("@true", "the file must hold an object, not this boolean"),
	BAD("@{}", "the key \"version\" is missing here"),
	BAD("@{'rules':[]}", "the key \"version\" is missing here"),
	BAD("{'version':@2}", "version 2 of the language is not known, only 1 is"),
	BAD("{'other':1,'version':@2}", "version 2 of the language is not known, only 1 is"),
	BAD("{'version':@'1'}", "\"version\" wants the number 1, not a string"),
	BAD("{'version':1,@'ruels':[]}", "unknown key \"ruels\": did you mean \"rules\"?"),
	BAD("{'version':1,@'zzzzzz':[]}",
	    "unknown key \"zzzzzz\": there is \"version\", \"pools\", \"rules\", \"hotplug\", "
	    "\"limits\""),
	BAD("{'version':1,'rules':@{}}", "\"rules\" wants an array of objects, not an object"),
	BAD("{'version':1,'rules':[@1]}", "\"rules\" wants an array of objects, not a number"),
	BAD("{'version':1,'pools':@[]}", "\"pools\" wants an object, not an array"),
	BAD("{'version':1,'pools':{'a':@[]}}", "\"pools\" wants an object, not an array"),
	BAD("{'version':1,'pools':{'a':@{}}}", "the key \"devices\" is missing here"),
	BAD("{'version':1,'pools':{@'a b':{'devices':[]}}}",
	    "a name has 1 to 64 letters, digits, \"_\", \"-\", \".\" and \":\""),
	BAD("{'version':1,'pools':{@'':{'devices':[]}}}",
	    "a name has 1 to 64 letters, digits, \"_\", \"-\", \".\" and \":\""),
	BAD("{'version':1,'pools':{@'n*3':{'devices':[]}}}",
	    "a name has 1 to 64 letters, digits, \"_\", \"-\", \".\" and \":\""),
	BAD("{'version':1,'pools':{'a':{'devices':@[]}}}", "\"devices\" is empty"),
	BAD("{'version':1,'pools':{'a':{@'device':[]}}}",
	    "unknown key \"device\": did you mean \"devices\"?"),
	BAD("{'version':1,'pools':{'a':{'devices':[{@'pool':'a'}]}}}",
	    "a pool cannot be made of pools"),
	BAD("{'version':1,'hotplug':@1}", "\"hotplug\" wants an object, not a number"),
	BAD("{'version':1,'hotplug':@{}}", "\"hotplug\" is empty"),
	BAD("{'version':1,'hotplug':{@'prob':'kernel'}}",
	    "unknown key \"prob\": did you mean \"probe\"?"),
	BAD("{'version':1,'hotplug':{'probe':@'brocker'}}",
	    "\"probe\" knows no \"brocker\": did you mean \"broker\"?"),
	BAD("{'version':1,'hotplug':{'probe':@['kernel']}}",
	    "\"probe\" wants a string, not an array"),
	BAD("{'version':1,'limits':@{}}", "\"limits\" is empty"),
	BAD("{'version':1,'limits':{@'leases':1}}",
	    "unknown key \"leases\": there is \"leases-per-user\""),
	BAD("{'version':1,'limits':{'leases-per-user':@-1}}",
	    "\"leases-per-user\" must be between 0 and 4294967294"),
	BAD("{'version':1,'limits':{'leases-per-user':@4294967295}}",
	    "\"leases-per-user\" must be between 0 and 4294967294"),
	BAD("{'version':1,'limits':{'leases-per-user':@'64'}}",
	    "\"leases-per-user\" wants a number, not a string"),
};

static const struct bad rules[] = {
	BAD("{'version':1,'rules':[@{}]}", "the key \"id\" is missing here"),
	BAD("{'version':1,'rules':[@{'id':'a'}]}", "the key \"subjects\" is missing here"),
	BAD("{'version':1,'rules':[@{'id':'a','subjects':[{'users':'*'}]}]}",
	    "the key \"devices\" is missing here"),
	BAD("{'version':1,'rules':[\n@{'id':'a','subjects':[{'users':'*'}],'devices':"
	    "[{'address':'*'}]}]}",
	    "the rule allows nothing: it wants \"allow\", or \"deny\": true"),
	BAD("{'version':1,'rules':[@{'id':'a','subjects':[{'users':'*'}],'devices':"
	    "[{'address':'*'}],'deny':false}]}",
	    "the rule allows nothing: it wants \"allow\", or \"deny\": true"),
	BAD("{'version':1,'rules':[{'id':@1}]}", "\"id\" wants a string, not a number"),
	BAD("{'version':1,'rules':[{'id':@''}]}", "an empty string in \"id\""),
	BAD("{'version':1,'rules':[{'id':@'a b'}]}",
	    "a name has 1 to 64 letters, digits, \"_\", \"-\", \".\" and \":\""),
	BAD("{'version':1,'rules':[{'id':@'0123456789012345678901234567890123456789"
	    "0123456789012345678901234'}]}",
	    "a name has 1 to 64 letters, digits, \"_\", \"-\", \".\" and \":\""),
	BAD("{'version':1,'rules':[{'id':'a',\n\t@'subject':[]}]}",
	    "unknown key \"subject\": did you mean \"subjects\"?"),
	BAD(RULE("@'Park':'auto'"), "unknown key \"Park\": did you mean \"park\"?"),
	BAD(RULE("@'alow':[]"), "unknown key \"alow\": did you mean \"allow\"?"),
	BAD(RULE("@'limit':{}"), "unknown key \"limit\": did you mean \"limits\"?"),
	BAD(RULE("@'comment':'x'"), "unknown key \"comment\": did you mean \"consent\"?"),
	BAD(RULE("'deny':@'yes'"), "\"deny\" wants true or false, not a string"),
	BAD(RULE("'deny':@1"), "\"deny\" wants true or false, not a number"),
	BAD(RULE("@'id':'x'"), "key \"id\" is here twice, first at 2:3"),
	BAD("{'version':1,'rules':[{'allow':@'acquire'}]}",
	    "\"allow\" wants an array of strings, not a string"),
	BAD("{'version':1,'rules':[{'allow':@[]}]}",
	    "\"allow\" is empty; to refuse, write \"deny\": true"),
	BAD("{'version':1,'rules':[{'allow':['reset',@'aquire']}]}",
	    "\"allow\" knows no \"aquire\": did you mean \"acquire\"?"),
	BAD("{'version':1,'rules':[{'allow':[@1]}]}", "\"allow\" wants a string, not a number"),
	BAD("{'version':1,'rules':[{'allow':[@'*']}]}",
	    "\"allow\" knows no \"*\": there is \"acquire\", \"withhold\", \"persist\", "
	    "\"delegate\", \"reset\", \"sriov\", \"fenced\""),
	BAD(RULE("'modes':@[]"), "\"modes\" is empty; leave it out to allow all"),
	BAD(RULE("'modes':[@'auto']"),
	    "\"modes\" knows no \"auto\": there is \"cdev\", \"group\", \"node\""),
	BAD(RULE("'modes':[@'cdv']"), "\"modes\" knows no \"cdv\": did you mean \"cdev\"?"),
	BAD(RULE("'consent':@[]"), "\"consent\" wants an object, not an array"),
	BAD(RULE("'consent':@{}"), "the key \"drivers\" is missing here"),
	BAD(RULE("'consent':{@'driver':[]}"), "unknown key \"driver\": did you mean \"drivers\"?"),
	BAD(RULE("'consent':{'drivers':@'e1000e'}"),
	    "\"drivers\" wants an array of strings, not a string"),
	BAD(RULE("'consent':{'drivers':['a',@'']}"), "an empty string in \"drivers\""),
	BAD(RULE("'consent':{'drivers':['a',@{}]}"), "\"drivers\" wants a string, not an object"),
	BAD(RULE("'waive':@'network'"), "\"waive\" wants an array of strings, not a string"),
	BAD(RULE("'waive':[@'net']"),
	    "\"waive\" knows no \"net\": there is \"block\", \"network\", \"console\", \"nodes\", "
	    "\"vfs\""),
	BAD(RULE("'waive':[@'netwrok']"),
	    "\"waive\" knows no \"netwrok\": did you mean \"network\"?"),
	BAD(RULE("'waive':['n*',@'z*']"), "\"waive\" knows no \"z*\": there is \"block\", "
					  "\"network\", \"console\", \"nodes\", \"vfs\""),
	BAD(RULE("'park':@'vfoi'"), "\"park\" knows no \"vfoi\": did you mean \"vfio\"?"),
	BAD(RULE("'park':@true"), "\"park\" wants a string, not a boolean"),
	BAD(RULE("'park':@'vfio'"),
	    "\"park\": \"vfio\" does not go with the modes \"group\" and \"node\": it wants "
	    "\"modes\": [\"cdev\"]"),
	BAD(RULE("'park':@'vfio','modes':['cdev','group']"),
	    "\"park\": \"vfio\" does not go with the modes \"group\" and \"node\": it wants "
	    "\"modes\": [\"cdev\"]"),
	BAD(RULE("'modes':['node'],'park':@'vfio'"),
	    "\"park\": \"vfio\" does not go with the modes \"group\" and \"node\": it wants "
	    "\"modes\": [\"cdev\"]"),
	BAD(RULE("'auth':@'pam'"), "\"auth\" knows no \"pam\": there is \"none\", \"polkit\""),
	BAD(RULE("'revoke':@'klil'"), "\"revoke\" knows no \"klil\": did you mean \"kill\"?"),
	BAD(RULE("'memlock':@-1"), "\"memlock\" must be between 0 and 9223372036854775807"),
	BAD(RULE("'memlock':@true"), "\"memlock\" wants a number, not a boolean"),
	BAD(RULE("'memlock':@'64g'"),
	    "\"memlock\" is a number of bytes, a number with K, M, G or T behind it (\"64G\"), or "
	    "\"unlimited\""),
	BAD(RULE("'memlock':@'64GB'"),
	    "\"memlock\" is a number of bytes, a number with K, M, G or T behind it (\"64G\"), or "
	    "\"unlimited\""),
	BAD(RULE("'memlock':@'G'"),
	    "\"memlock\" is a number of bytes, a number with K, M, G or T behind it (\"64G\"), or "
	    "\"unlimited\""),
	BAD(RULE("'memlock':@'-1'"),
	    "\"memlock\" is a number of bytes, a number with K, M, G or T behind it (\"64G\"), or "
	    "\"unlimited\""),
	BAD(RULE("'memlock':@''"), "an empty string in \"memlock\""),
	BAD(RULE("'memlock':@'8388608T'"), "\"memlock\" is too big"),
	BAD(RULE("'memlock':@'99999999999999999999'"), "\"memlock\" is too big"),
	BAD(RULE("'limits':@{}"), "\"limits\" is empty"),
	BAD(RULE("'limits':{@'lease':1}"), "unknown key \"lease\": did you mean \"leases\"?"),
	BAD(RULE("'limits':{'leases':@-1}"), "\"leases\" must be between 0 and 4294967294"),
	BAD(RULE("'limits':{'devices':@4294967295}"),
	    "\"devices\" must be between 0 and 4294967294"),
	BAD(RULE("'limits':{'devices':@'1'}"), "\"devices\" wants a number, not a string"),
};

static const struct bad subjects[] = {
	BAD(SUBJECT("@[]"), "\"subjects\" is empty"),
	BAD(SUBJECT("@{'users':'*'}"), "\"subjects\" wants an array of objects, not an object"),
	BAD(SUBJECT("[@'root']"), "\"subjects\" wants an array of objects, not a string"),
	BAD(SUBJECT("[{'users':'*'},@{}]"), "an empty object; everybody is { \"users\": [\"*\"] }"),
	BAD(SUBJECT("[{@'user':'*'}]"), "unknown key \"user\": did you mean \"users\"?"),
	BAD(SUBJECT("[{'users':@[]}]"), "\"users\" is empty"),
	BAD(SUBJECT("[{'users':['a',@'']}]"), "an empty string in \"users\""),
	BAD(SUBJECT("[{'users':@true}]"), "\"users\" wants names or numbers, not a boolean"),
	BAD(SUBJECT("[{'users':[@['a']]}]"), "\"users\" wants names or numbers, not an array"),
	BAD(SUBJECT("[{'users':[@-1]}]"), "\"users\" must be between 0 and 4294967294"),
	BAD(SUBJECT("[{'users':[@4294967295]}]"), "\"users\" must be between 0 and 4294967294"),
	BAD(SUBJECT("[{'users':[@'4294967295']}]"), "\"users\" must be between 0 and 4294967294"),
	BAD(SUBJECT("[{'users':[@'99999999999999999999999']}]"),
	    "\"users\" must be between 0 and 4294967294"),
	BAD(SUBJECT("[{'users':[@'vm-*']}]"), "\"vm-*\" can be no name; globs do not work here"),
	BAD(SUBJECT("[{'users':[@'-1']}]"), "\"-1\" can be no name; globs do not work here"),
	BAD(SUBJECT("[{'users':[@'a:b']}]"), "\"a:b\" can be no name; globs do not work here"),
	BAD(SUBJECT("[{'groups':[@'*']}]"), "everybody is { \"users\": [\"*\"] }"),
	BAD(SUBJECT("[{'groups':@{}}]"), "\"groups\" wants names or numbers, not an object"),
	BAD(SUBJECT("[{'groups':[@4294967295]}]"), "\"groups\" must be between 0 and 4294967294"),
	BAD(SUBJECT("[{'units':@[]}]"), "\"units\" is empty"),
	BAD(SUBJECT("[{'units':@1}]"), "\"units\" wants a string, not a number"),
	BAD(SUBJECT("[{'units':['a.service',@'libvirtd']}]"),
	    "\"libvirtd\" has no suffix: did you mean \"libvirtd.service\"?"),
};

static const struct bad devices[] = {
	BAD(DEVICES("@[]"), "\"devices\" is empty"),
	BAD(DEVICES("@{'address':'*'}"), "\"devices\" wants an array of objects, not an object"),
	BAD(DEVICES("[@'*']"), "\"devices\" wants an array of objects, not a string"),
	BAD(DEVICES("[{'address':'*'},@{}]"),
	    "an empty object; every device is { \"address\": \"*\" }"),
	BAD(DEVICES("[{@'adress':'*'}]"), "unknown key \"adress\": did you mean \"address\"?"),
	BAD(DEVICES("[{@'subsystem_vendor':'*'}]"),
	    "unknown key \"subsystem_vendor\": did you mean \"subsystem-vendor\"?"),
	BAD(DEVICES("[{'address':@''}]"), "an empty string in \"address\""),
	BAD(DEVICES("[{'address':@[]}]"), "\"address\" is empty"),
	BAD(DEVICES("[{'address':@1}]"), "\"address\" wants a string, not a number"),
	BAD(DEVICES("[{'address':@'3b:00.0'}]"),
	    "the address has no domain: did you mean \"0000:3b:00.0\"?"),
	BAD(DEVICES("[{'address':@'3b:0[0-3].*'}]"),
	    "the address has no domain: did you mean \"0000:3b:0[0-3].*\"?"),
	BAD(DEVICES("[{'physical-function':@'3b:00.0'}]"),
	    "the address has no domain: did you mean \"0000:3b:00.0\"?"),
	BAD(DEVICES("[{'vendor':@8086}]"),
	    "\"vendor\" wants hexadecimal numbers as strings (\"8086\"), not a number"),
	BAD(DEVICES("[{'vendor':@'808'}]"), "\"vendor\" wants four hexadecimal digits, or \"*\""),
	BAD(DEVICES("[{'vendor':@'80866'}]"), "\"vendor\" wants four hexadecimal digits, or \"*\""),
	BAD(DEVICES("[{'vendor':'8086','product':['10d3',@'10dx']}]"),
	    "\"product\" wants four hexadecimal digits, or \"*\""),
	BAD(DEVICES("[{'vendor':@'80*'}]"), "\"vendor\" wants four hexadecimal digits, or \"*\""),
	BAD(DEVICES("[{'subsystem-vendor':@'0x'}]"),
	    "\"subsystem-vendor\" wants four hexadecimal digits, or \"*\""),
	BAD(DEVICES("[{'subsystem-product':@true}]"),
	    "\"subsystem-product\" wants hexadecimal numbers as strings (\"8086\"), not a boolean"),
	BAD(DEVICES("[{'address':'*','pin':@{}}]"),
	    "\"pin\" is empty; leave it out to pin nothing"),
	BAD(DEVICES("[{'address':'*','pin':@[]}]"), "\"pin\" wants an object, not an array"),
	BAD(DEVICES("[@{'pin':{'vendor':'8086'}}]"),
	    "a \"pin\" chooses no device; every device is { \"address\": \"*\" }"),
	BAD(DEVICES("[{'address':'*','pin':{@'class':'02'}}]"),
	    "unknown key \"class\": there is \"vendor\", \"product\", \"serial\""),
	BAD(DEVICES("[{'address':'*','pin':{'vendor':@'*'}}]"),
	    "\"vendor\" wants four hexadecimal digits"),
	BAD(DEVICES("[{'address':'*','pin':{'product':@'123'}}]"),
	    "\"product\" wants four hexadecimal digits"),
	BAD(DEVICES("[{'address':'*','pin':{'serial':@'00-11-22-33-44-55-66-7'}}]"),
	    "\"serial\" wants eight bytes as lspci writes them, such as "
	    "\"00-1b-21-ff-ff-a0-36-9f\""),
	BAD(DEVICES("[{'address':'*','pin':{'serial':@'00-11-22-33-44-55-66-77-88'}}]"),
	    "\"serial\" wants eight bytes as lspci writes them, such as "
	    "\"00-1b-21-ff-ff-a0-36-9f\""),
	BAD("{'version':1,'rules':[@{'id':'r','subjects':[{'users':'*'}],'deny':true,"
	    "'devices':[{'address':'*','pin':{'vendor':'8086'}}]}]}",
	    "a \"pin\" is for rules that allow: a device that is another one is denied anyway"),
	BAD(DEVICES("[{'class':@'3'}]"), "\"class\" wants two, four or six hexadecimal digits"),
	BAD(DEVICES("[{'class':@'*'}]"), "\"class\" wants two, four or six hexadecimal digits"),
	BAD(DEVICES("[{'class':@3}]"),
	    "\"class\" wants hexadecimal numbers as strings (\"03\"), not a number"),
	BAD(DEVICES("[{'group':@-1}]"), "\"group\" must be between 0 and 4294967294"),
	BAD(DEVICES("[{'group':[1,@4294967295]}]"), "\"group\" must be between 0 and 4294967294"),
	BAD(DEVICES("[{'group':@'*'}]"), "\"group\" wants the number of an IOMMU group"),
	BAD(DEVICES("[{'group':@true}]"), "\"group\" wants numbers, not a boolean"),
	BAD(DEVICES("[{'driver':[@1]}]"), "\"driver\" wants a string, not a number"),
	BAD(DEVICES("[{'iommu':@'0123456789012345678901234567890123456789012345678901234567890123"
		    "45678901234567890123456789012345678901234567890123456789012345678901234567890"
		    "12345678901234567890123456789012345678901234567890123456789012345678901234567"
		    "89012345678901234567890123456789012345678901234567890123456789'}]"),
	    "a string of more than 255 bytes in \"iommu\""),
	BAD(DEVICES("[{'pool':@'nisc'}]"), "there is no pool \"nisc\": did you mean \"nics\"?"),
	BAD(DEVICES("[{'pool':['nics',@'gpus']}]"), "there is no pool \"gpus\": there is \"nics\""),
};

START_TEST(bad_syntax)
{
	check_bad(&syntax[_i]);
}
END_TEST

START_TEST(bad_top)
{
	check_bad(&top[_i]);
}
END_TEST

START_TEST(bad_rule)
{
	check_bad(&rules[_i]);
}
END_TEST

START_TEST(bad_subject)
{
	check_bad(&subjects[_i]);
}
END_TEST

START_TEST(bad_device)
{
	check_bad(&devices[_i]);
}
END_TEST

/* Errors that need more than one file. */
static const struct {
	const char *files[3];
	const char *path;
	const char *message;
} sets[] = {
	{ { RULE("'park':'auto'"), "{'version':1,'rules':[{'id':@'r','subjects':[{'users':'*'}],"
				   "'devices':[{'address':'*'}],'deny':true}]}" },
	  "/p/2.json",
	  "the rule \"r\" is already at /p/1.json:2:8" },
	{ { "{'version':1,'pools':{'a':{'devices':[{'class':'02'}]}}}", "{'version':1}",
	    "{'version':1,'pools':{'b':{'devices':[{'class':'02'}]},\n"
	    "@'a':{'devices':[{'class':'02'}]}}}" },
	  "/p/3.json",
	  "the pool \"a\" is already at /p/1.json:1:23" },
	{ { "{'version':1,'hotplug':{'probe':'kernel'}}",
	    "{'version':1,'hotplug':{'probe':@'broker'}}" },
	  "/p/2.json",
	  "\"probe\" has another value at /p/1.json:1:33" },
	{ { "{'version':1,'limits':{'leases-per-user':64}}",
	    "{'version':1,'limits':{'leases-per-user':64}}",
	    "{'version':1,'limits':{'leases-per-user':@65}}" },
	  "/p/3.json",
	  "\"leases-per-user\" has another value at /p/1.json:1:42" },
	{ { "{'version':1}", "{'version':@3}" },
	  "/p/2.json",
	  "version 3 of the language is not known, only 1 is" },
	{ { "{'version':1,'rules':[{'id':'r','subjects':[{'users':'*'}],'devices':"
	    "[{'pool':@'a'}],'deny':true}]}",
	    "{'version':1}" },
	  "/p/1.json",
	  "there is no pool \"a\"" },
};

START_TEST(bad_set)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	struct policy *policy = NULL;
	struct text place = { 0 };
	char expected[256];
	size_t n = 0;

	while (n < 3 && sets[_i].files[n])
		n++;
	ck_assert_int_eq(parse_texts(sets[_i].files, n, &policy, &error, &place), -EBADMSG);
	snprintf(expected, sizeof(expected), "%s:%u:%u: %s", sets[_i].path, place.line,
		 place.column, sets[_i].message);
	ck_assert_str_eq(error.message, expected);
}
END_TEST

START_TEST(nothing)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct policy_file masked = { "/p/a.json", NULL, 0 };

	ck_assert_int_eq(policy_parse(NULL, 0, &policy, &error), 0);
	ck_assert_uint_eq(policy->n_rules, 0);
	ck_assert_uint_eq(policy->n_pools, 0);
	ck_assert_int_eq(policy->probe, PROBE_KERNEL);
	ck_assert_uint_eq(policy->limit_leases_per_user, 64);
	policy_free(policy);
	policy = NULL;
	ck_assert_int_eq(policy_parse(&masked, 1, &policy, &error), 0);
	ck_assert_uint_eq(policy->n_rules, 0);
	ck_assert_uint_eq(strv_length(policy->files), 0);
}
END_TEST

START_TEST(defaults_of_a_rule)
{
	_cleanup_(policy_freep) struct policy *policy =
		parse_good("{'version':1,'rules':[{'id':'r','subjects':[{'users':['*']}],"
			   "'devices':[{'address':'*'}],'allow':['acquire']}]}");
	const struct rule *rule = &policy->rules[0];

	ck_assert_uint_eq(policy->n_rules, 1);
	ck_assert_str_eq(rule->id, "r");
	ck_assert_str_eq(rule->source, "/p/1.json:1");
	ck_assert(!rule->deny);
	ck_assert_uint_eq(rule->verbs, 1u << VERB_ACQUIRE);
	ck_assert_uint_eq(rule->modes, 1u << MODE_CDEV | 1u << MODE_GROUP | 1u << MODE_NODE);
	ck_assert_ptr_null(rule->consent_drivers);
	ck_assert_uint_eq(rule->waive, 0);
	ck_assert_int_eq(rule->park, PARK_AUTO);
	ck_assert_int_eq(rule->auth, AUTH_NONE);
	ck_assert_int_eq(rule->revoke, REVOKE_ASK);
	ck_assert_uint_eq(rule->memlock, 0);
	ck_assert_uint_eq(rule->limit_leases, UINT32_MAX);
	ck_assert_uint_eq(rule->limit_devices, UINT32_MAX);
	ck_assert_uint_eq(strv_length(policy->files), 1);
	ck_assert_str_eq(policy->files[0], "/p/1.json");
}
END_TEST

START_TEST(every_key_of_a_rule)
{
	_cleanup_(policy_freep) struct policy *policy = parse_good(
		"{\r\n\t'version':1,\n"
		"'rules':[\n"
		"{'id':'vm-nics','subjects':[{'users':['qemu',1000,'0033']},"
		"{'groups':['vmm'],'units':['vm-*.service']}],'devices':[{'address':'*'}],\n"
		"'allow':['acquire','withhold','persist','delegate','reset','sriov','fenced'],\n"
		"'modes':['cdev'],'consent':{'drivers':['e1000e','snd_*']},\n"
		"'waive':['n*','block'],'park':'vfio','auth':'polkit','memlock':'64G',\n"
		"'revoke':'kill','limits':{'leases':8,'devices':0}}],\n"
		"'hotplug':{'probe':'broker'},'limits':{'leases-per-user':5}}");
	const struct rule *rule = &policy->rules[0];

	ck_assert_int_eq(policy->probe, PROBE_BROKER);
	ck_assert_uint_eq(policy->limit_leases_per_user, 5);
	ck_assert_str_eq(rule->source, "/p/1.json:4");
	ck_assert_uint_eq(rule->verbs, (1u << VERB_MAX) - 1);
	ck_assert_uint_eq(rule->modes, 1u << MODE_CDEV);
	ck_assert_uint_eq(strv_length(rule->consent_drivers), 2);
	ck_assert_uint_eq(rule->waive, 1u << USE_NETWORK | 1u << USE_NODES | 1u << USE_BLOCK);
	ck_assert_int_eq(rule->park, PARK_VFIO);
	ck_assert_int_eq(rule->auth, AUTH_POLKIT);
	ck_assert_uint_eq(rule->memlock, UINT64_C(64) << 30);
	ck_assert_int_eq(rule->revoke, REVOKE_KILL);
	ck_assert_uint_eq(rule->limit_leases, 8);
	ck_assert_uint_eq(rule->limit_devices, 0);
	ck_assert_uint_eq(rule->n_subjects, 2);
	ck_assert_uint_eq(strv_length(rule->subjects[0].users), 3);
	ck_assert_uint_eq(rule->subjects[0].n_uids, 2);
	ck_assert_uint_eq(rule->subjects[0].uids[0], 1000);
	ck_assert_uint_eq(rule->subjects[0].uids[1], 33);
	ck_assert_str_eq(rule->subjects[0].user_sources[1], "/p/1.json:4:46");
	ck_assert_ptr_null(rule->subjects[0].groups);
	ck_assert_ptr_null(rule->subjects[1].users);
	ck_assert_str_eq(rule->subjects[1].units[0], "vm-*.service");
}
END_TEST

START_TEST(every_key_of_a_device)
{
	_cleanup_(policy_freep) struct policy *policy = parse_good(DEVICES(
		"[{'address':'0000:3b:0[2-5].*','vendor':'0x10DE','product':['*','1B80'],"
		"'subsystem-vendor':'1AF4','subsystem-product':'0X0001','class':"
		"['03','0x0300','0C0330'],'driver':'e1000*','subsystem':'pci','group':[7,'08'],"
		"'iommu':'dmar*','slot':'3','physical-function':'0000:*','pool':'nics'}]"));
	char **const *v = policy->rules[0].devices[0].values;

	ck_assert_str_eq(v[DEVICE_KEY_ADDRESS][0], "0000:3b:0[2-5].*");
	ck_assert_str_eq(v[DEVICE_KEY_VENDOR][0], "10de");
	ck_assert_str_eq(v[DEVICE_KEY_PRODUCT][0], "*");
	ck_assert_str_eq(v[DEVICE_KEY_PRODUCT][1], "1b80");
	ck_assert_str_eq(v[DEVICE_KEY_SUBSYSTEM_VENDOR][0], "1af4");
	ck_assert_str_eq(v[DEVICE_KEY_SUBSYSTEM_PRODUCT][0], "0001");
	ck_assert_uint_eq(strv_length(v[DEVICE_KEY_CLASS]), 3);
	ck_assert_str_eq(v[DEVICE_KEY_CLASS][1], "0300");
	ck_assert_str_eq(v[DEVICE_KEY_CLASS][2], "0c0330");
	ck_assert_str_eq(v[DEVICE_KEY_DRIVER][0], "e1000*");
	ck_assert_str_eq(v[DEVICE_KEY_GROUP][0], "7");
	ck_assert_str_eq(v[DEVICE_KEY_GROUP][1], "8");
	for (int key = 0; key < DEVICE_KEY_MAX; key++)
		ck_assert_ptr_nonnull(v[key]);
	ck_assert_ptr_nonnull(policy_pool(policy, "nics"));
	ck_assert_ptr_null(policy_pool(policy, "nic"));
}
END_TEST

static const struct {
	const char *text;
	uint64_t bytes;
} memlocks[] = {
	{ "0", 0 },
	{ "'0'", 0 },
	{ "4096", 4096 },
	{ "'4096'", 4096 },
	{ "'1K'", 1024 },
	{ "'3M'", 3 << 20 },
	{ "'64G'", UINT64_C(64) << 30 },
	{ "'2T'", UINT64_C(2) << 40 },
	{ "'8388607T'", UINT64_C(8388607) << 40 },
	{ "9223372036854775807", INT64_MAX },
	{ "'unlimited'", UINT64_MAX },
};

START_TEST(memlock)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	char text[512];

	snprintf(text, sizeof(text), "%s'memlock':%s}]}", RULE_HEAD, memlocks[_i].text);
	policy = parse_good(text);
	ck_assert_uint_eq(policy->rules[0].memlock, memlocks[_i].bytes);
}
END_TEST

/* What is right, and easily refused by mistake. */
static const char *const good[] = {
	"{'version':1}",
	"\r\n\t {\t'version' :\r1 ,'pools':{},'rules':[]}\n\n",
	"{'\\u0076ersion':1}",
	RULE("'deny':true"),
	RULE("'deny':false"),
	RULE("'consent':{'drivers':[]},'waive':[]"),
	RULE("'waive':['*']"),
	RULE("'park':'vfio','modes':['cdev']"),
	RULE("'park':'none','modes':['node','node']"),
	RULE("'limits':{'leases':4294967294}"),
	"{'version':1,'rules':[{'id':'r','subjects':[{'users':'*'}],'devices':[{'pool':'later'}],"
	"'deny':true}],'pools':{'later':{'devices':[{'address':'*'}]}}}",
	SUBJECT("[{'users':['DOMAIN\\\\user','first last','\xc3\xa9\\ud83d\\ude00']}]"),
	SUBJECT("[{'users':0,'groups':'kvm','units':'*'}]"),
	DEVICES("[{'address':'*:00.0'}]"),
	DEVICES("[{'address':['INT33D1:00','fe000000.ethernet','10000:01:00.0','0000:3b:*']}]"),
	DEVICES("[{'driver':['a','a'],'slot':'1-2'}]"),
};

START_TEST(good_text)
{
	policy_free(parse_good(good[_i]));
}
END_TEST

START_TEST(order_of_files)
{
	static const char *const texts[] = {
		"{'version':1,'hotplug':{'probe':'broker'},'rules':[{'id':'a','subjects':"
		"[{'users':'*'}],'devices':[{'pool':'p'}],'deny':true}]}",
		"{'version':1,'hotplug':{'probe':'broker'},'pools':{'p':{'devices':"
		"[{'address':'*'}]}}}",
		RULE("'park':'auto'"),
	};
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;

	ck_assert_int_eq(parse_texts(texts, 3, &policy, &error, NULL), 0);
	ck_assert_uint_eq(policy->n_rules, 2);
	ck_assert_str_eq(policy->rules[0].id, "a");
	ck_assert_str_eq(policy->rules[1].id, "r");
	ck_assert_str_eq(policy->rules[1].source, "/p/3.json:2");
	ck_assert_uint_eq(strv_length(policy->files), 3);
}
END_TEST

/* Cut anywhere, a text is an error and nothing else. */
START_TEST(every_prefix)
{
	static const char whole[] =
		"{\"version\":1,\"pools\":{\"\\u00e9\xc3\xa9\":[true,-1,\"x\"]}}";

	for (size_t n = 1; n < sizeof(whole) - 1; n++) {
		_cleanup_(policy_error_done) struct policy_error error = { 0 };
		struct policy *policy = NULL;
		char *exact = malloc(n);
		struct policy_file file = { "/p/a.json", exact, n };

		memcpy(exact, whole, n);
		ck_assert_int_eq(policy_parse(&file, 1, &policy, &error), -EBADMSG);
		ck_assert_ptr_nonnull(error.message);
		free(exact);
	}
}
END_TEST

/* Long strings of somebody's file do not flood the journal, and are cut between characters. */
START_TEST(long_words_are_cut)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	struct policy *policy = NULL;
	char text[1024];
	size_t n = (size_t)snprintf(text, sizeof(text), "{\"version\":1,\"");
	struct policy_file file = { "/p/a.json", text, 0 };

	for (int i = 0; i < 200; i++)
		n += (size_t)sprintf(text + n, "\xe2\x82\xac");
	n += (size_t)sprintf(text + n, "\":1}");
	file.size = n;
	ck_assert_int_eq(policy_parse(&file, 1, &policy, &error), -EBADMSG);
	ck_assert_uint_lt(strlen(error.message), 200);
	ck_assert(utf8_is_printable(error.message));
}
END_TEST

static const char named[] =
	"{'version':1,'rules':["
	"{'id':'a','subjects':[{'users':['zoe','*',7,'adam'],'groups':['kvm','12']}],"
	"'devices':[{'address':'*'}],'allow':['acquire']},"
	"{'id':'b','subjects':[{'users':['zoe']},{'groups':['ops']}],"
	"'devices':[{'address':'*'}],'deny':true}]}";

START_TEST(names)
{
	_cleanup_(policy_freep) struct policy *policy = parse_good(named);
	_cleanup_strv_ char **users = NULL, **groups = NULL;

	ck_assert_int_eq(policy_names(policy, &users, &groups), 0);
	ck_assert_uint_eq(strv_length(users), 2);
	ck_assert_str_eq(users[0], "adam");
	ck_assert_str_eq(users[1], "zoe");
	ck_assert_uint_eq(strv_length(groups), 2);
	ck_assert_str_eq(groups[0], "kvm");
	ck_assert_str_eq(groups[1], "ops");
}
END_TEST

START_TEST(names_resolve)
{
	const struct policy_name users[] = { { "zoe", true, 1001 }, { "adam", true, 1002 } };
	const struct policy_name groups[] = { { "ops", true, 44 }, { "kvm", true, 55 } };
	_cleanup_(policy_freep) struct policy *policy = parse_good(named);
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	const struct subject_match *s = &policy->rules[0].subjects[0];

	ck_assert_int_eq(policy_resolve(policy, users, 2, groups, 2, &error), 0);
	ck_assert_ptr_null(policy->warnings);
	ck_assert_uint_eq(s->n_uids, 3);
	ck_assert_uint_eq(s->uids[0], 7);
	ck_assert_uint_eq(s->uids[1], 1001);
	ck_assert_uint_eq(s->uids[2], 1002);
	ck_assert_uint_eq(s->n_gids, 2);
	ck_assert_uint_eq(s->gids[0], 12);
	ck_assert_uint_eq(s->gids[1], 55);
	ck_assert_uint_eq(policy->rules[1].subjects[0].uids[0], 1001);
	ck_assert_uint_eq(policy->rules[1].subjects[1].gids[0], 44);
}
END_TEST

START_TEST(names_missing)
{
	const struct policy_name users[] = { { "zoe", true, 1001 }, { "adam", false, 0 } };
	const struct policy_name groups[] = { { "ops", true, 44 }, { "kvm", true, UINT32_MAX } };
	_cleanup_(policy_freep) struct policy *policy = parse_good(named);
	_cleanup_(policy_error_done) struct policy_error error = { 0 };

	ck_assert_int_eq(policy_resolve(policy, users, 2, groups, 2, &error), 0);
	ck_assert_uint_eq(strv_length(policy->warnings), 2);
	ck_assert_str_eq(policy->warnings[0],
			 "/p/1.json:1:67: there is no user \"adam\", so it matches nobody");
	ck_assert_str_eq(policy->warnings[1],
			 "/p/1.json:1:85: there is no group \"kvm\", so it matches nobody");
	ck_assert_uint_eq(policy->rules[0].subjects[0].n_uids, 2);
	ck_assert_uint_eq(policy->rules[0].subjects[0].n_gids, 1);
}
END_TEST

START_TEST(names_missing_in_deny)
{
	const struct policy_name users[] = { { "adam", true, 1 }, { "zoe", true, 2 } };
	const struct policy_name groups[] = { { "kvm", true, 3 } };
	_cleanup_(policy_freep) struct policy *policy = parse_good(named);
	_cleanup_(policy_error_done) struct policy_error error = { 0 };

	ck_assert_int_eq(policy_resolve(policy, users, 2, groups, 1, &error), -EBADMSG);
	ck_assert_str_eq(
		error.message,
		"/p/1.json:1:199: there is no group \"ops\", and a deny rule must not miss "
		"anybody");
}
END_TEST

/* As many as a file can hold: quick, and told in few words. */
START_TEST(names_missing_by_the_thousand)
{
	static char text[POLICY_FILE_SIZE_MAX];
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_strv_ char **users = NULL, **groups = NULL;
	struct policy_file file = { "/p/a.json", text, 0 };
	size_t n = (size_t)sprintf(text, "{\"version\":1,\"rules\":[{\"id\":\"r\",\"devices\":"
					 "[{\"address\":\"*\"}],\"allow\":[\"acquire\"],"
					 "\"subjects\":[{\"users\":[\"x\"");

	for (unsigned int i = 0; n < sizeof(text) - 64; i++)
		n += (size_t)sprintf(text + n, ",\"u%x\"", i);
	file.size = n + (size_t)sprintf(text + n, "]}]}]}");
	ck_assert_msg(policy_parse(&file, 1, &policy, &error) == 0, "%s", error.message);
	ck_assert_int_eq(policy_names(policy, &users, &groups), 0);
	ck_assert_uint_gt(strv_length(users), 100000);
	ck_assert_int_eq(policy_resolve(policy, NULL, 0, NULL, 0, &error), 0);
	ck_assert_uint_eq(strv_length(policy->warnings), 101);
}
END_TEST

/* The file that is shipped: root may have everything, and nobody else anything. */
START_TEST(shipped_default)
{
	static char text[POLICY_FILE_SIZE_MAX];
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	const char *dir = getenv("top_srcdir");
	struct device device = { .name = (char *)"0000:00:01.0", .subsystem = (char *)"pci" };
	struct subject root = { .uid = 0 }, other = { .uid = 1000 };
	struct policy_file file = { .text = text };
	const struct rule *rule;
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/policy/99-default.json", dir ? dir : ".");
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "cannot open %s", path);
	file.path = path;
	file.size = fread(text, 1, sizeof(text), f);
	fclose(f);
	ck_assert_msg(policy_parse(&file, 1, &policy, &error) == 0, "%s", error.message);
	ck_assert_uint_eq(policy->n_rules, 1);
	rule = &policy->rules[0];
	ck_assert(rule_matches_subject(rule, &root));
	ck_assert(!rule_matches_subject(rule, &other));
	ck_assert(rule_matches_device(policy, rule, &device, NULL));
	ck_assert(rule_consents(rule, "e1000e"));
	ck_assert_uint_eq(rule->verbs, (1u << VERB_MAX) - 1);
	ck_assert_uint_eq(rule->waive, 0);
	ck_assert_uint_eq(rule->memlock, UINT64_MAX);
}
END_TEST

/* Each example of the man page is a policy. */
START_TEST(man_page)
{
	_cleanup_free_ char *line = NULL, *text = NULL;
	size_t line_size = 0, text_size = 0, examples = 0;
	const char *dir = getenv("top_srcdir");
	bool literal = false;
	char path[4096];
	FILE *man, *out = NULL;

	snprintf(path, sizeof(path), "%s/man/vfiod-policy.5", dir ? dir : ".");
	man = fopen(path, "re");
	ck_assert_msg(man != NULL, "cannot open %s", path);
	while (getline(&line, &line_size, man) > 0) {
		if (strncmp(line, ".Bd -literal", 12) == 0) {
			literal = true;
		} else if (streq(line, ".Ed\n")) {
			literal = false;
		} else if (literal && !out && line[0] == '{') {
			out = open_memstream(&text, &text_size);
			fputs(line, out);
		} else if (literal && out) {
			fputs(line, out);
		}
		if (!literal && out) {
			_cleanup_(policy_error_done) struct policy_error error = { 0 };
			_cleanup_(policy_freep) struct policy *policy = NULL;
			struct policy_file file = { .path = "example" };

			fclose(out);
			out = NULL;
			file.text = text;
			file.size = text_size;
			ck_assert_msg(policy_parse(&file, 1, &policy, &error) == 0, "%s:\n%s",
				      error.message, text);
			examples++;
			free(text);
			text = NULL;
		}
	}
	fclose(man);
	ck_assert_uint_eq(examples, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("parse");
	TCase *bad = tcase_create("bad"), *fine = tcase_create("good");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(bad, bad_syntax, 0, ARRAY_SIZE(syntax));
	tcase_add_loop_test(bad, bad_top, 0, ARRAY_SIZE(top));
	tcase_add_loop_test(bad, bad_rule, 0, ARRAY_SIZE(rules));
	tcase_add_loop_test(bad, bad_subject, 0, ARRAY_SIZE(subjects));
	tcase_add_loop_test(bad, bad_device, 0, ARRAY_SIZE(devices));
	tcase_add_loop_test(bad, bad_set, 0, ARRAY_SIZE(sets));
	tcase_add_test(bad, every_prefix);
	tcase_add_test(bad, long_words_are_cut);
	suite_add_tcase(suite, bad);
	tcase_add_test(fine, nothing);
	tcase_add_test(fine, defaults_of_a_rule);
	tcase_add_test(fine, every_key_of_a_rule);
	tcase_add_test(fine, every_key_of_a_device);
	tcase_add_loop_test(fine, memlock, 0, ARRAY_SIZE(memlocks));
	tcase_add_loop_test(fine, good_text, 0, ARRAY_SIZE(good));
	tcase_add_test(fine, order_of_files);
	tcase_add_test(fine, names);
	tcase_add_test(fine, names_resolve);
	tcase_add_test(fine, names_missing);
	tcase_add_test(fine, names_missing_in_deny);
	tcase_add_test(fine, names_missing_by_the_thousand);
	tcase_add_test(fine, shipped_default);
	tcase_add_test(fine, man_page);
	suite_add_tcase(suite, fine);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
