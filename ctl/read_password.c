#include "ctl/read_password.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

bool
read_password(const char *prompt, char line[PASSWORD_LINE])
{
	struct termios was, quiet;
	bool is_terminal = tcgetattr(STDIN_FILENO, &was) == 0, ok;

	if (is_terminal) {
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)fputs(prompt, stderr);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	ok = fgets(line, PASSWORD_LINE, stdin) != NULL;
	if (is_terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
		(void)fputc('\n', stderr);
	}
	if (ok)
		line[strcspn(line, "\r\n")] = '\0';
	return ok;
}
