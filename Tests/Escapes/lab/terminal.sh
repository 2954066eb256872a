# Clears the screen, hides what follows, and sets the title.
# verdict: \\u\{1b\}|\\x1b|\\e
start
escape=$(printf '\033')
say "$escape[2J$escape[H$escape[8m$escape]0;ESCAPE-SEQUENCE$(printf '\007')
"
{ header 2 0 4; bytes 155 50 74 10; } >&3
end 0
for_ever
