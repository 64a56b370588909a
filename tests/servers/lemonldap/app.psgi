# LemonLDAP::NG's portal, as an authorization server with 24 users and two clients. Its
# configuration and its sessions are files in $DATA.
use strict;
use warnings;

use JSON;

my ( $data, $port, $life ) = @ENV{qw(DATA PORT LIFE)};
my $origin = "http://127.0.0.1:$port";

# The portal loads one always, and its own needs ImageMagick.
{
    package Lemonldap::NG::Portal::Captcha::None;
    use Mouse;
    extends 'Lemonldap::NG::Common::Module';
    sub init { 1 }
    $INC{'Lemonldap/NG/Portal/Captcha/None.pm'} = __FILE__;
}

sub sessions {
    my $folder = "$data/$_[0]";
    mkdir $_ for $folder, "$folder/lock";
    return { Directory => $folder, LockDirectory => "$folder/lock" };
}

sub client {
    my ( $id, $secret ) = @_;
    return {
        oidcRPMetaDataOptionsClientID                    => $id,
        oidcRPMetaDataOptionsClientSecret                => $secret,
        oidcRPMetaDataOptionsAllowPasswordGrant          => 1,
        oidcRPMetaDataOptionsAllowClientCredentialsGrant => 1,
        oidcRPMetaDataOptionsRefreshToken                => 1,
        oidcRPMetaDataOptionsAccessTokenExpiration       => $life,
        oidcRPMetaDataOptionsIDTokenSignAlg              => 'HS256',
        oidcRPMetaDataOptionsBypassConsent               => 1,
    };
}

my %clients = (
    client => client( 'client', $ENV{SECRET} ),
    odd    => client( 'odd',    $ENV{ODD_SECRET} ),
);
my $default = decode_json(
    do { local ( @ARGV, $/ ) = '/var/lib/lemonldap-ng/conf/lmConf-1.json'; <> } );
my %conf = (
    %$default,
    portal                            => "$origin/",
    domain                            => '127.0.0.1',
    globalStorageOptions              => sessions('sessions'),
    persistentStorageOptions          => sessions('psessions'),
    notification                      => 0,
    loginHistoryEnabled               => 0,
    captcha                           => '::Captcha::None',
    portalDisplayRegister             => 0,
    portalDisplayResetPassword        => 0,
    issuerDBOpenIDConnectActivation   => 1,
    oidcServiceAccessTokenExpiration  => $life,
    oidcServiceMetaDataIssuer         => "$origin/",
    oidcRPMetaDataOptions             => \%clients,
    oidcRPMetaDataExportedVars        => { map { $_ => { name => 'cn' } } keys %clients },
    oidcRPMetaDataScopeRules          => {},
    oidcRPMetaDataMacros              => {},
    oidcRPMetaDataOptionsExtraClaims  => {},
    exportedVars                      => { cn => 'cn', mail => 'mail', uid => 'uid' },
);
delete @conf{qw(localSessionStorage localSessionStorageOptions)};

sub write_file {
    my ( $name, $text ) = @_;
    open my $file, '>', "$data/$name" or die "$name: $!";
    print $file $text;
    close $file or die "$name: $!";
}

mkdir "$data/conf";
write_file( 'conf/lmConf-1.json', encode_json( \%conf ) );
write_file( 'lemonldap-ng.ini', <<"INI" );
[all]
logLevel = error
[configuration]
type = File
dirName = $data/conf
[portal]
templateDir = /usr/share/lemonldap-ng/portal/templates
staticPrefix = /static
languages = en
INI

require Lemonldap::NG::Portal::Main;
require Lemonldap::NG::Portal::UserDB::Demo;
require Lemonldap::NG::Portal::Auth::Demo;
{
    no warnings qw(once redefine);
    for my $user ( map { "user$_" } 0 .. 23 ) {
        $Lemonldap::NG::Portal::UserDB::Demo::demoAccounts{$user} =
          { uid => $user, cn => $user, mail => "$user\@example.com" };
    }

    # Its own takes the user's name for a password.
    *Lemonldap::NG::Portal::Auth::Demo::authenticate = sub {
        my ( $self, $req ) = @_;
        return 0 if $req->data->{password} eq $ENV{PASSWORD};
        $self->setSecurity($req);
        return Lemonldap::NG::Portal::Main::Constants::PE_BADCREDENTIALS();
    };
}
my $portal = Lemonldap::NG::Portal::Main->run(
    { configStorage => { confFile => "$data/lemonldap-ng.ini" } } );

# An access token is a session, which an administrator deletes.
sub {
    my $env = shift;
    return $portal->($env) unless $env->{PATH_INFO} eq '/kill';
    $env->{'psgi.input'}->read( my $form, $env->{CONTENT_LENGTH} || 0 );
    my ($id) = $form =~ /\btoken=([0-9a-f]+)/;
    my $ended = $id && unlink "$data/sessions/$id";
    return [ $ended ? 200 : 404, [ 'Content-Length' => 0 ], [] ];
};
